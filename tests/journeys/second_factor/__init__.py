"""Journeys of users with apps, backup codes, trusted browsers and due passwords."""
