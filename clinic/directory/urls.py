"""Addresses of the directory: pages without free times, and the sign-up of doctors."""

from django.urls import path

from clinic.directory import views

urlpatterns = [
    path("hospitals/", views.hospitals, name="hospitals"),
    path("hospitals/<slug:slug>/", views.hospital, name="hospital"),
    path("accounts/signup/doctor/", views.DoctorSignupView.as_view(), name="doctor_signup"),
    path("accounts/doctor/", views.my_sign_up, name="my_sign_up"),
]
