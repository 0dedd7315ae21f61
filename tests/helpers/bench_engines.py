"""Engines that are wrong, that die, that tell: imported by the workers of the benchmark."""

import os
import sys
import time

import numpy as np

import pybackprop as bp
from pybackprop.bench import processes, timer
from pybackprop.bench.engines.numpy import Numpy


class Zeroed(Numpy):
    def result(self):
        return {name: array * 0 for name, array in super().result().items()}


class NotANumber(Numpy):
    def result(self):
        return {name: array * np.float32(np.nan) for name, array in super().result().items()}


class Flipped(Numpy):
    def result(self):
        return {name: -array for name, array in super().result().items()}


class Telling(Numpy):
    def about(self):
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
        return {
            "cores": cores,
            "threads": [os.environ[name] for name in processes.COUNTS],
            "kernel": bp.info()["kernel"],
        }


class Dying(Numpy):
    def prepare(self, work, data):
        call = super().prepare(work, data)
        self.left = 5  # calls: two to prepare, two in each round

        def mortal():
            self.left -= 1
            if self.left == 0:
                print("its last words", file=sys.stderr, flush=True)
                os._exit(3)
            time.sleep(timer.SAMPLE)
            call()

        return mortal


class Choosy(Numpy):
    def matmul(self, a, b):
        if len(a) % 2:
            raise ValueError("three is odd")
        print("what an engine prints is no answer")
        return super().matmul(a, b)
