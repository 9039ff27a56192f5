"""Words of the login, and of what is said where there is none."""

from __future__ import annotations

LOG_IN = "Log in to read scans. Your name stands under the verdicts that you keep."
NO_READER = "You are logged in, but may not read scans here. Ask whoever runs this app for the role *reader*."
NOT_VERIFIED = "Names are not verified here: there is no login, and anybody can type any name."
ONLY_ADMIN = "Only an admin deletes and exports cases here."
