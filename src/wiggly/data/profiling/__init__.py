"""Where a batch's time goes: `dls.profile()`. Read next: `profile.py`."""
