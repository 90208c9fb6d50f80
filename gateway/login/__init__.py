"""The login: from the first click to a finished session, as a record of events and what they leave pending."""
