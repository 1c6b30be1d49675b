"""A stand-in for the API of the Hugging Face Hub, on this machine: repositories of small files, in memory."""

import base64
import hashlib
import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


class Hub:
    """The repositories: for each, commits in order, and for each commit its files. ``seen`` has every request."""

    def __init__(self):
        self.commits: dict[str, dict[str, dict[str, bytes]]] = {}
        self.private: dict[str, bool] = {}
        self.seen: list[tuple[str, str, str | None]] = []
        self.url = ""

    def create(self, repo, private):
        self.private[repo] = private
        self.commits[repo] = {_sha(repo): {}}

    def add(self, repo, files):
        """A commit with more files; its number."""
        newest = list(self.commits[repo].values())[-1]
        oid = _sha(repo + repr(sorted(files.items())) + str(len(self.commits[repo])))
        self.commits[repo][oid] = {**newest, **files}
        return oid

    def files(self, repo, revision):
        """The commit of a revision and its files; None if there is none."""
        commits = self.commits.get(repo, {})
        oid = list(commits)[-1] if commits and revision == "main" else revision
        return (oid, commits[oid]) if oid in commits else None


def _sha(text):
    return hashlib.sha1(text.encode()).hexdigest()


@contextmanager
def running():
    """The hub, answering on loopback until the block ends."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """No lines on the screen."""

    def do_GET(self):
        self._get(True)

    def do_HEAD(self):
        self._get(False)

    def _get(self, body):
        path = self._note()
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+?)(?:/(revision|tree)/([^/]+))?/?", path):
            repo, what, revision = match[1], match[2], match[3] or "main"
            found = self.hub.files(repo, revision)
            if found is None:
                return self._missing(repo)
            oid, files = found
            entries = [{"type": "file", "path": n, "oid": _sha(n), "size": len(c)} for n, c in files.items()]
            info = {"id": repo, "sha": oid, "private": False, "siblings": [{"rfilename": name} for name in files]}
            return self._answer(entries if what == "tree" else info, body=body)
        if match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            found = self.hub.files(match[1], match[2])
            if found is None or match[3] not in found[1]:
                return self._missing(match[1], entry=True)
            content = found[1][match[3]]
            headers = {"X-Repo-Commit": found[0], "ETag": f'"{hashlib.sha256(content).hexdigest()}"'}
            return self._answer(content, headers=headers, body=body)
        return self._answer({"error": "no such page"}, 404)

    def do_POST(self):
        path = self._note()
        content = self._body()
        if path == "/api/repos/create":
            asked = json.loads(content)
            repo = f"{asked.get('organization') or 'me'}/{asked['name']}"
            if repo in self.hub.commits:
                return self._answer({"error": "it exists", "url": f"{self.hub.url}/{repo}"}, 409)
            self.hub.create(repo, asked.get("private") or asked.get("visibility") == "private")
            return self._answer({"url": f"{self.hub.url}/{repo}", "name": repo, "id": _sha(repo)})
        if path == "/api/validate-yaml":
            return self._answer({"errors": [], "warnings": []})
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/main", path):
            files = json.loads(content)["files"]
            answer = [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in files]
            return self._answer({"files": answer})
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", path):
            lines = [json.loads(line) for line in content.splitlines() if line.strip()]
            added = [line["value"] for line in lines if line["key"] == "file"]
            oid = self.hub.add(match[1], {file["path"]: base64.b64decode(file["content"]) for file in added})
            url = f"{self.hub.url}/{match[1]}/commit/{oid}"
            return self._answer({"success": True, "commitOid": oid, "commitUrl": url, "hookOutput": ""})
        return self._answer({"error": "no such page"}, 404)

    def _note(self):
        path = unquote(urlsplit(self.path).path)
        self.hub.seen.append((self.command, path, self.headers.get("Authorization")))
        return path

    def _body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _missing(self, repo, entry=False):
        known = repo in self.hub.commits
        code = ("EntryNotFound" if entry else "RevisionNotFound") if known else "RepoNotFound"
        self._answer({"error": "not found"}, 404, {"X-Error-Code": code})

    def _answer(self, content, status=200, headers=None, body=True):
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body and self.command != "HEAD":
            self.wfile.write(data)
