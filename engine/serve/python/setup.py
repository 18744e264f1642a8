"""Makes the messages of Corn's service from its description when the package is built."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

PROTO = Path(__file__).resolve().parent.parent / "proto"


class WithMessages(build_py):
    def run(self):
        super().run()
        from grpc_tools import protoc

        target = Path(self.build_lib) / "corn_client"
        target.mkdir(parents=True, exist_ok=True)
        if protoc.main(["protoc", f"-I{PROTO}", f"--python_out={target}", "corn.proto"]):
            raise RuntimeError(f"no messages could be made of {PROTO / 'corn.proto'}")


setup(cmdclass={"build_py": WithMessages})
