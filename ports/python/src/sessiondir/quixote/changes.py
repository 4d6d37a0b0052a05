# mypy: ignore-errors
# (Quixote and Session3 have no types.)
"""What a request has changed in a session, and how that gets into the record that is current by then."""


class Loaded:
    """What a session object was when it was last the same as its record. Kept beside the object, since
    whatever is in the object is the application's."""

    def __init__(self, session_id, created, parts):
        self.id = session_id
        self.created = created
        self.creation_time = parts.created
        self.renew(parts, parts.encoded())

    def renew(self, parts, encoded):
        self.encoded = encoded
        self.tokens = list(parts.tokens)


class Changes:
    """The places whose canonical bytes differ from what was loaded.

    `base` is a Loaded, or None for a session that is new. Comparing bytes finds a change inside of a nested
    value, and takes what was set to the same value again as no change.
    """

    def __init__(self, base, parts):
        self.encoded = parts.encoded()
        before = base.encoded if base else {}
        self._set = {
            place: parts.values[place]
            for place, encoded in self.encoded.items()
            if before.get(place) != encoded
        }
        self._removed = [place for place in before if place not in self.encoded]
        tokens = base.tokens if base else []
        self._tokens_used = set(tokens).difference(parts.tokens)
        self._tokens_made = [token for token in parts.tokens if token not in tokens]
        self._tokens_max = parts.tokens_max

    def __bool__(self):
        return bool(self._set or self._removed or self._tokens_used or self._tokens_made)

    def apply(self, record):
        """Puts them into a record. What this request has not changed stays as some other request left it."""
        items = {}
        for (where, name), value in self._set.items():
            if where == "data":
                record[name] = value
            elif where == "item":
                items[name] = value
            else:
                setattr(record, where, value)
        gone = set()
        for where, name in self._removed:
            if where == "data":
                record.pop(name, None)
            elif where == "item":
                gone.add(name)
            else:
                setattr(record, where, None)
        if items or gone:
            there = record.get("data")
            there = dict(there) if isinstance(there, dict) else {}
            there.update(items)
            record["data"] = {key: value for key, value in there.items() if key not in gone}
        if self._tokens_used or self._tokens_made:
            # Two pages with forms, made at the same time, must both stay valid: each request adds its own
            # tokens to the queue and takes away those that it used.
            tokens = [token for token in record.tokens or () if token not in self._tokens_used]
            tokens += [token for token in self._tokens_made if token not in tokens]
            record.tokens = tokens[-self._tokens_max:]
