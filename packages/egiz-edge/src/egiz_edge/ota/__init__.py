"""Updates: the format of a release. In memory only while one is looked at."""
