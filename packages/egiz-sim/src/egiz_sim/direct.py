"""HTTP to the server that a person named, whatever proxy the environment has.

It is often on this machine, where no proxy reaches; and a proxy would read the login.
"""

import urllib.request

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
