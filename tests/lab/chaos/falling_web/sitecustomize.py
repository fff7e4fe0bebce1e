"""A web process that ends by itself, though nothing is lost by it. Lies on PYTHONPATH of a chaos run that must find it."""

import os
import sys
import threading

if "cloud.web" in sys.orig_argv:
    fall = threading.Timer(6.0, os._exit, [7])
    fall.daemon = True
    fall.start()
