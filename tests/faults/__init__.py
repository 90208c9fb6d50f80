"""What users, apps and operators see when a neighbour is down."""
