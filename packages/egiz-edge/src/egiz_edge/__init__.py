"""The firmware of a sensor board. Pure logic: only `ports` knows the hardware.

Modules that are seldom needed are imported where they are used, and unloaded
afterwards: memory is short.
"""

import gc
import sys


def unload(*names):
    """Remove modules of this package from memory that nothing refers to any more."""
    package = sys.modules["egiz_edge"]
    for name in names:
        sys.modules.pop("egiz_edge." + name, None)
        if hasattr(package, name):
            delattr(package, name)
    gc.collect()


def discard(*names):
    """Unload modules of which nothing is used any more, and empty them.

    The garbage collector takes an address that an earlier call has left on the stack of
    C for a reference. To one of such a module, it would keep all that the module refers
    to: up to 11 KB.
    """
    for name in names:
        module = sys.modules.get("egiz_edge." + name)
        if module:
            module.__dict__.clear()
    unload(*names)


def unload_rules():
    """Remove the contract's package, and its modules; that itself needs no memory."""
    is_there = True
    while is_there:
        is_there = False
        for name in sys.modules:
            if name.startswith("egiz_schema"):
                del sys.modules[name]
                is_there = True
                break
    gc.collect()
