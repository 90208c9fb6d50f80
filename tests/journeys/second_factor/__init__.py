"""Journeys of people who have apps, backup codes, trusted browsers and due passwords."""
