"""What several pages draw with: tables, badges, charts, paging, export, questions, problems."""
