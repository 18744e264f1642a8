"""The client."""

import grpc

from . import corn_pb2 as pb
from . import values

PRIORITIES = {"low": pb.PRIORITY_LOW, "normal": pb.PRIORITY_NORMAL, "high": pb.PRIORITY_HIGH}
IMAGES = {"rgb": pb.IMAGE_RGB, "png": pb.IMAGE_PNG, "jpeg": pb.IMAGE_JPEG, "webp": pb.IMAGE_WEBP}
AUDIO = {"samples": pb.AUDIO_SAMPLES, "wav": pb.AUDIO_WAV}


class CornError(Exception):
    """Why a request failed.

    `code` is gRPC's; `blame` says whose fault it was, `component` in which component, `retry` whether asking again
    later can help, and `request_id` names the request, as far as the server said so.
    """

    def __init__(self, error):
        super().__init__(error.details())
        self.code = error.code()
        said = dict(error.initial_metadata() or ()) | dict(error.trailing_metadata() or ())
        self.blame = said.get("corn-blame")
        self.component = said.get("corn-component")
        self.retry = said.get("corn-retry") == "true"
        self.request_id = said.get("corn-request-id")


class Answer(dict):
    """Whole outputs by name; one that turned out absent is None.

    `used` is the `Used` of `corn.proto`: tokens, where components count them; else None.
    """

    def __init__(self, response):
        super().__init__((output.name, values.read(output.value)) for output in response.outputs)
        self.route = response.route
        self.request_id = response.request_id
        self.used = response.used if response.HasField("used") else None


class Stream:
    """Pieces of outputs as they are made: pairs of an output's name and a piece of it.

    Leaving a `with` block, or `cancel()`, gives the request up. After the last piece `used` is as in `Answer`.
    """

    def __init__(self, responses):
        self._responses = responses
        self.request_id = None
        self.route = None
        self.outputs = []
        self.used = None

    def __iter__(self):
        return self

    def __next__(self):
        while True:
            try:
                response = next(self._responses)
            except grpc.RpcError as error:
                raise CornError(error) from None
            event = response.WhichOneof("event")
            if event == "item":
                return response.item.output, values.read(response.item.value)
            if event == "started":
                self.request_id = response.started.request_id
                self.route = response.started.route
                self.outputs = list(response.started.outputs)
            if event == "used":
                self.used = response.used

    def cancel(self):
        self._responses.cancel()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.cancel()


class Client:
    """Asks the server at `address`, which is `host:port`.

    `timeout` is in seconds, for each call that says no other.
    """

    def __init__(self, address="localhost:8001", *, timeout=None, credentials=None):
        # The server bounds what it takes, by what its plan says.
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        if credentials is None:
            self._channel = grpc.insecure_channel(address, options=options)
        else:
            self._channel = grpc.secure_channel(address, credentials, options=options)
        self._timeout = timeout
        self._described = None
        unary, stream = self._channel.unary_unary, self._channel.unary_stream
        self._infer = self._rpc(unary, "Infer", pb.InferRequest, pb.InferResponse)
        self._stream = self._rpc(stream, "Stream", pb.InferRequest, pb.StreamResponse)
        self._describe = self._rpc(unary, "Describe", pb.DescribeRequest, pb.DescribeResponse)

    @staticmethod
    def _rpc(make, name, request, response):
        return make(
            f"/corn.v1.Corn/{name}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )

    def describe(self):
        """What can be asked: the `DescribeResponse` of `corn.proto`. It is asked for once."""
        if self._described is None:
            try:
                self._described = self._describe(pb.DescribeRequest(), timeout=self._timeout)
            except grpc.RpcError as error:
                raise CornError(error) from None
        return self._described

    def call(self, name, inputs=None, *, timeout=None, **asked):
        """The whole answer of a route or graph, called `graph`, `route` or `graph.route`.

        Inputs are keywords, or in `inputs` where a name is one of ours. `outputs` says which are wanted, `priority` is
        `low`, `normal` or `high`; `images` (`rgb`, `png`, `jpeg`, `webp`) and `audio` (`samples`, `wav`) say how media
        come back.
        """
        request = self._request(name, inputs, asked)
        try:
            return Answer(self._infer(request, timeout=timeout or self._timeout))
        except grpc.RpcError as error:
            raise CornError(error) from None

    def stream(self, name, inputs=None, *, timeout=None, **asked):
        """As `call`, in pieces as they are made."""
        request = self._request(name, inputs, asked)
        return Stream(self._stream(request, timeout=timeout or self._timeout))

    def _request(self, name, inputs, asked):
        graph, route, types = self._find(name)
        request = pb.InferRequest(
            graph=graph,
            route=route,
            outputs=asked.pop("outputs", ()),
            priority=PRIORITIES[asked.pop("priority", "normal")],
            images=IMAGES[asked.pop("images", "rgb")],
            audio=AUDIO[asked.pop("audio", "samples")],
        )
        for given, value in {**asked, **(inputs or {})}.items():
            # The server knows best what to say of a name that is wrong.
            ty = types.get(given)
            written = values.write(value, ty.kind, ty.form) if ty else pb.Value()
            request.inputs[given].CopyFrom(written)
        return request

    def _find(self, name):
        """Graph and route that `name` means, and the types of the inputs that it takes."""
        graphs = {graph.name: graph.routes for graph in self.describe().graphs}
        graph, _, route = name.rpartition(".")
        if not graph and name in graphs:
            graph, route = name, ""
        routes = [(of, it) for of, routes in graphs.items() for it in routes]
        routes = [it for of, it in routes if (not graph or of == graph) and (not route or it.name == route)]
        return graph, route, {input.name: input.type for it in routes for input in it.inputs}

    def close(self):
        self._channel.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
