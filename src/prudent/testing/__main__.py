"""``python -m prudent.testing FILE``: check the algorithm in a file; exits with 1 if it breaks a clause."""

import sys

from prudent.errors import PrudentError
from prudent.testing import broken_clauses


def main(words: list[str]) -> int:
    """Check each file; the exit code is 0, 1 if one breaks a clause, 2 if one cannot be read."""
    if not words or words[0].startswith("-"):
        print("usage: python -m prudent.testing FILE [FILE ...]\n\nCheck the algorithms in these files.")
        return 0 if words else 2
    code = 0
    for word in words:
        try:
            lines = broken_clauses(word)
        except PrudentError as error:
            print(f"prudent: {error}", file=sys.stderr)
            return 2
        for line in lines:
            print(f"{word}: {line}")
        if not lines:
            print(f"{word}: keeps the contract")
        code = max(code, int(bool(lines)))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
