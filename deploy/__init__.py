"""How Clinic is brought to servers, and the test that breaks it there."""
