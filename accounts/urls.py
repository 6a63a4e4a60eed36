"""Pages under /accounts/ that are ours. Included before allauth's, whose views some replace."""

from __future__ import annotations

from allauth.account.internal.decorators import login_not_required
from django.urls import path

from accounts import second_factor_views as factor
from accounts import sessions_views, views, views_carers

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
    path(
        "people/<uuid:public_id>/guardian/",
        views_carers.person_guardian,
        name="person_guardian",
    ),
    path("people/carers/", views_carers.carers, name="carers"),
    path("people/carers/<uuid:public_id>/", views_carers.carer_rights, name="carer_rights"),
    path("people/link/", views.link_chart, name="link_chart"),
    path("terms/accept/", views.terms_accept, name="terms_accept"),
    path("sessions/", sessions_views.session_list, name="usersessions_list"),
    path("sessions/<uuid:public_id>/end/", sessions_views.session_end, name="session_end"),
    path("2fa/", factor.FactorsView.as_view(), name="mfa_index"),
    path("2fa/authenticate/", factor.EnterFactorView.as_view(), name="mfa_authenticate"),
    path("2fa/reauthenticate/", factor.EnterFactorAgainView.as_view(), name="mfa_reauthenticate"),
    path("2fa/totp/activate/", factor.AddAppView.as_view(), name="mfa_activate_totp"),
    path("2fa/totp/deactivate/", factor.RemoveAppView.as_view(), name="mfa_deactivate_totp"),
    path("2fa/recovery-codes/", factor.RecoveryCodesView.as_view(), name="mfa_view_recovery_codes"),
    path(
        "2fa/recovery-codes/generate/",
        factor.NewCodesView.as_view(),
        name="mfa_generate_recovery_codes",
    ),
    path(
        "2fa/recovery-codes/download/",
        factor.DownloadCodesView.as_view(),
        name="mfa_download_recovery_codes",
    ),
    path("2fa/webauthn/", factor.PasskeysView.as_view(), name="mfa_list_webauthn"),
    path("2fa/webauthn/add/", factor.AddPasskeyView.as_view(), name="mfa_add_webauthn"),
    path(
        "2fa/webauthn/reauthenticate/",
        factor.PasskeyAgainView.as_view(),
        name="mfa_reauthenticate_webauthn",
    ),
    path(
        "2fa/webauthn/keys/<int:pk>/remove/",
        factor.RemovePasskeyView.as_view(),
        name="mfa_remove_webauthn",
    ),
    path(
        "2fa/webauthn/keys/<int:pk>/edit/",
        factor.RenamePasskeyView.as_view(),
        name="mfa_edit_webauthn",
    ),
]
