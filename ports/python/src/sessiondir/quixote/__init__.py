# mypy: ignore-errors
# (Quixote and Session3 have no types.)
"""Sessions of a Quixote site in a sessiondir directory. See QUIXOTE.md.

`DirectorySessionStore` takes the place of Session3's store of that name. `sessiondir.quixote.session3` has
Session3's session manager with its errors mended, and `sessiondir.quixote.session` a persistent one for a
site that uses Quixote's own sessions.
"""

from .store import DirectorySessionStore

__all__ = ["DirectorySessionStore"]
