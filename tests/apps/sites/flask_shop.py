"""A Flask application with the things that Flask applications do."""

import hashlib
import io
import time

import flask

app = flask.Flask(__name__)
app.secret_key = "not a secret"
app.config["SESSION_COOKIE_SAMESITE"] = "Lax"

PICTURE = bytes(range(256)) * 300


@app.get("/")
def index():
    return flask.render_template_string("<h1>Hello, {{ name }}!</h1>", name=flask.request.args.get("name", "world"))


@app.get("/json")
def as_json():
    return flask.jsonify(message="Hello, world!", numbers=list(range(10)))


@app.route("/echo", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
def echo():
    request = flask.request
    return flask.jsonify(
        method=request.method,
        url=request.url,
        args=request.args.to_dict(flat=False),
        form=request.form.to_dict(flat=False),
        json=request.get_json(silent=True),
        headers=sorted(request.headers.items()),
        cookies=request.cookies,
        files={name: [file.filename, len(file.read())] for name, file in request.files.items()},
        remote=request.remote_addr,
        secure=request.is_secure,
    )


@app.post("/digest")
def digest():
    return hashlib.sha256(flask.request.get_data()).hexdigest()


@app.get("/visits")
def visits():
    flask.session["visits"] = flask.session.get("visits", 0) + 1
    return str(flask.session["visits"])


@app.get("/stream")
def stream():
    return flask.Response((f"line {number}\n" for number in range(1000)), mimetype="text/plain")


@app.get("/picture")
def picture():
    return flask.send_file(io.BytesIO(PICTURE), mimetype="image/x-test", etag="picture", conditional=True)


@app.get("/file")
def file():
    return flask.send_file(hashlib.__file__, mimetype="text/x-python", conditional=True)


@app.get("/caf\u00e9/<path:rest>")
def unicode_path(rest):
    return rest


@app.get("/moved")
def moved():
    return flask.redirect(flask.url_for("index", name="moved"))


@app.get("/teapot")
def teapot():
    flask.abort(418)


@app.get("/bug")
def bug():
    raise RuntimeError("a bug in the shop")


@app.get("/nothing")
def nothing():
    return "", 204


@app.get("/slow")
def slow():
    time.sleep(0.2)
    return "slow"
