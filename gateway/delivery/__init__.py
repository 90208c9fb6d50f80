"""How a message leaves the house: mail, text message, outgoing calls."""
