from django.apps import AppConfig


class ChatConfig(AppConfig):
    name = "chat"
    verbose_name = "Messages"

    def ready(self) -> None:
        from appointments import signals
        from chat import notices, sampling

        signals.visit_booked.connect(notices.visit_was_booked, dispatch_uid="chat.notices")
        signals.visit_moved.connect(notices.visit_was_moved, dispatch_uid="chat.notices")
        signals.visit_cancelled.connect(notices.visit_was_cancelled, dispatch_uid="chat.notices")
        signals.sample_data_made.connect(sampling.add_conversations, dispatch_uid="chat.sampling")
