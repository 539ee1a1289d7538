"""The console: what stakeholders see and admins do, drawn by Streamlit from the public API alone.

It imports nothing of the backend. Every page acts as the person logged in, with that person's own
short access token, so whatever the console forgets to hide the API still refuses.
"""
