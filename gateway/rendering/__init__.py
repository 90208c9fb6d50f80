"""Pages and mails: templates, languages, texts of problems."""
