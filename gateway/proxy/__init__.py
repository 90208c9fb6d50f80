"""The way to the apps: checked, admitted, forwarded."""
