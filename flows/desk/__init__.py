"""The analyst's desk: a page on this machine to examine a video, compare models, and correct what they say.

Starlette, Jinja and a little JavaScript: nothing comes from the network, and nothing answers another host.
"""
