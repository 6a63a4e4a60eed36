"""Pages under /accounts/ that are ours. Included before allauth's, whose views some replace."""

from __future__ import annotations

from allauth.account.internal.decorators import login_not_required
from django.urls import path

from accounts import views

urlpatterns = [
    path("login/", views.SignInView.as_view(), name="account_login"),
    path("signup/", views.AccountSignupView.as_view(), name="account_signup"),
    path(
        "confirm-email/",
        login_not_required(views.ConfirmAddressView.as_view()),
        name="account_email_verification_sent",
    ),
    path("password/change/", views.ChangePasswordView.as_view(), name="account_change_password"),
    path("password/reset/", views.ResetPasswordView.as_view(), name="account_reset_password"),
    path(
        "password/reset/confirm/",
        views.ConfirmResetView.as_view(),
        name="account_confirm_password_reset_code",
    ),
    path(
        "password/reset/complete/",
        views.NewPasswordView.as_view(),
        name="account_complete_password_reset",
    ),
    path("email/", views.AddressView.as_view(), name="account_email"),
    path("reauthenticate/", views.ReauthenticateView.as_view(), name="account_reauthenticate"),
    path("profile/", views.profile, name="profile"),
    path("people/", views.people_list, name="people"),
    path("people/add/", views.person_add, name="person_add"),
    path("people/<uuid:public_id>/end/", views.person_end, name="person_end"),
    path("people/link/", views.link_chart, name="link_chart"),
    path("terms/accept/", views.terms_accept, name="terms_accept"),
]
