"""What stands between a browser and an app: one strict check, one way in, one stream each way."""
