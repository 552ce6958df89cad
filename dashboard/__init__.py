"""What clinicians see: triage, the patient page and the live page, behind sign-in."""
