"""Parts of a board for tests: a store in RAM, a clock that a test sets, a log."""


class Store:
    def __init__(self):
        self.texts = {}

    def get(self, key):
        return self.texts.get(key)

    def put(self, key, text):
        assert len(key) <= 15
        assert len(text) <= 1024
        self.texts[key] = text

    def delete(self, key):
        self.texts.pop(key, None)


class Clock:
    def __init__(self, now_s=1800000000, is_set=True):
        self.now_s = now_s
        self.is_set = is_set

    def now_ms(self):
        return self.now_s * 1000

    def is_synced(self):
        return self.is_set


class Log:
    def __init__(self):
        self.lines = []

    def __call__(self, line):
        self.lines.append(line)
