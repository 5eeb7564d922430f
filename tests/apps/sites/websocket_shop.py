"""Websockets by way of several libraries.

`/echo` (flask-sock), `/ping` (simple-websocket, with pings) and the event `echo` of Socket.IO
send back what they get; `quit` ends a websocket. `/facts` tells about the socket, `/other`
answers as usual, and `/raise` takes its connection and raises.
"""

import json
import os
import socket

import simple_websocket
from flask import Flask, request
from flask_sock import Sock
from flask_socketio import SocketIO

flask_app = Flask(__name__)
sock = Sock(flask_app)
socketio = SocketIO(flask_app, async_mode="threading")


@sock.route("/echo")
def echo(websocket):
    serve(websocket)


def serve(websocket):
    while True:
        message = websocket.receive()
        if message == "quit":
            return
        if message == "pid":
            message = str(os.getpid())
        websocket.send(message)


@socketio.on("echo")
def event(data):
    socketio.emit("echo", data, to=request.sid)


@flask_app.route("/other")
def other():
    return "other"


@flask_app.route("/raise")
def fail():
    request.environ["gunicorn.socket"].sendall(b"mine")
    raise KeyError("not sent to the client")


@flask_app.route("/facts")
def facts():
    client = request.environ["gunicorn.socket"]
    reader = request.environ["werkzeug.socket"]
    return json.dumps(
        {
            "is_socket": isinstance(client, socket.socket),
            "timeout": client.gettimeout(),
            "family": client.family.name,
            "peer": str(client.getpeername()),
            "same": reader.fileno() == client.fileno() > 2,
            "inheritable": client.get_inheritable(),
        }
    )


def app(environ, start_response):
    if environ["PATH_INFO"] == "/ping":
        websocket = simple_websocket.Server.accept(environ, ping_interval=3600)
        try:
            serve(websocket)
            websocket.close()
        except simple_websocket.ConnectionClosed:
            pass
        return []
    return flask_app(environ, start_response)
