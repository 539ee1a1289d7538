"""A real n8n beside Email Sender: installed, packed for, started and driven without a browser."""
