"""`run --processes`: one process that starts others, each of which works on the app, and starts
those again that die. It runs none of the app's handlers itself.
"""
