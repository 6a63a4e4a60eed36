# Stands in for Docker's official debian image: Debian sid as debootstrap makes it.
FROM clinic-test/sid
CMD ["bash"]
