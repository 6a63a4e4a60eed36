// The Undo button goes when the server would no longer take it. Without this file it stays, says
// until when it works, and the server answers that it is too late.

for (const form of document.querySelectorAll("form[data-undo-seconds]")) {
  setTimeout(() => {
    const { activeElement } = document;
    if (form.contains(activeElement)) {
      // The focus must not fall to the top of the page.
      const row = form.closest("li");
      row.tabIndex = -1;
      row.focus({ preventScroll: true });
    }
    form.remove();
  }, (Number(form.dataset.undoSeconds) + 1) * 1000);
}
