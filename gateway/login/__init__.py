"""The login: a pure machine, its flow, its pages."""
