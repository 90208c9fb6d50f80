"""A reverse proxy that puts a second factor in front of the ExpertFlow CX web apps."""

__version__ = "0.1.0"
