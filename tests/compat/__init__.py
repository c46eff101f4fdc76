"""Do egiz-bridge and Telegraf make the same points of the same messages?"""
