"""lean-dojo's own process: JSON lines on stdin and stdout; the first names a theorem, the rest tactics."""

import json
import os
import sys
from typing import Any

from .native import to_reply


def main() -> None:
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what lean-dojo and its children print must not meet the replies
    os.environ.setdefault("DISABLE_REMOTE_CACHE", "1")
    os.environ.pop("GITHUB_ACCESS_TOKEN", None)

    def say(reply: dict[str, Any]) -> None:
        replies.write(json.dumps(reply) + "\n")

    first = json.loads(sys.stdin.readline())
    try:
        from lean_dojo import Dojo, LeanGitRepo
        from lean_dojo import Theorem as DojoTheorem

        local = os.path.isdir(first["url"])
        repo = LeanGitRepo.from_path(first["url"]) if local else LeanGitRepo(first["url"], first["commit"])
        theorem = DojoTheorem(repo, first["file_path"], first["full_name"])
        with Dojo(theorem, timeout=first["timeout"]) as (dojo, state):
            states = {state.id: state}
            say(to_reply(state))
            for line in sys.stdin:
                request = json.loads(line)
                result = dojo.run_tac(states[request["state"]], request["tactic"])
                if type(result).__name__ == "TacticState":
                    states[result.id] = result
                say(to_reply(result))
    except Exception as e:
        say({"kind": "Lost", "error": f"{type(e).__name__}: {e}"})


if __name__ == "__main__":
    main()
