# Written by tools/stubs.py from the compiled core; do not edit.
import collections.abc
import numpy
import numpy.typing
import typing

class NumericalError(ArithmeticError): ...

def active_isa() -> str: ...
def available_isas() -> list[str]: ...
def drop_memory() -> None: ...
def empty(
    shape: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
    dtype: numpy.dtype[typing.Any],
) -> numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]: ...
def get_workers() -> int: ...
def kept_memory() -> int: ...
def measure_limits(
    memory: numpy.typing.NDArray[numpy.float64], workers: typing.SupportsInt | typing.SupportsIndex
) -> tuple[float, float, float, float]: ...
def set_active_isa(name: str) -> None: ...
def set_workers(workers: typing.SupportsInt | typing.SupportsIndex) -> None: ...

build_type: str
compiler: str

class blas:
    @staticmethod
    def gemm(
        op_a: str,
        op_b: str,
        alpha: complex | typing.SupportsComplex | typing.SupportsFloat | typing.SupportsIndex,
        a: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        b: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        beta: complex | typing.SupportsComplex | typing.SupportsFloat | typing.SupportsIndex,
        c: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    ) -> None: ...
    @staticmethod
    def geqp3(a: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]) -> tuple[typing.Any, ...]: ...
    @staticmethod
    def geqrf(
        a: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    ) -> numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]: ...
    @staticmethod
    def getrf(a: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]) -> tuple[typing.Any, ...]: ...
    @staticmethod
    def heevd(
        vectors: bool, uplo: str, a: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]
    ) -> numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]: ...
    @staticmethod
    def herk(
        uplo: str,
        op: str,
        alpha: typing.SupportsFloat | typing.SupportsIndex,
        a: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        beta: typing.SupportsFloat | typing.SupportsIndex,
        c: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    ) -> None: ...
    @staticmethod
    def info() -> dict[str, typing.Any]: ...
    @staticmethod
    def load() -> None: ...
    @staticmethod
    def load_from(blas: dict[str, typing.Any], lapack: dict[str, typing.Any]) -> None: ...
    @staticmethod
    def orgqr(
        a: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        tau: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    ) -> None: ...
    @staticmethod
    def ormqr(
        side: str,
        op: str,
        a: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        tau: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        c: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    ) -> None: ...
    @staticmethod
    def potrf(uplo: str, a: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]) -> int: ...
    @staticmethod
    def svd(
        divides: bool,
        vectors: str,
        a: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        u: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        vh: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    ) -> numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]: ...
    @staticmethod
    def trmm(
        side: str,
        uplo: str,
        op: str,
        diag: str,
        alpha: complex | typing.SupportsComplex | typing.SupportsFloat | typing.SupportsIndex,
        a: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        b: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    ) -> None: ...
    @staticmethod
    def trsm(
        side: str,
        uplo: str,
        op: str,
        diag: str,
        alpha: complex | typing.SupportsComplex | typing.SupportsFloat | typing.SupportsIndex,
        a: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        b: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    ) -> None: ...
    @staticmethod
    def trtri(
        uplo: str, diag: str, a: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]
    ) -> None: ...

class column_row:
    @staticmethod
    def choose_terms(
        sizes: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        wanted: typing.SupportsInt | typing.SupportsIndex,
        method: str,
        key: tuple[
            typing.SupportsInt | typing.SupportsIndex, typing.SupportsInt | typing.SupportsIndex
        ],
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> list[tuple[numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.float64]]]: ...
    @staticmethod
    def column_norms(
        a: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]: ...
    @staticmethod
    def greedy_deletion(
        gram: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        keep: typing.SupportsInt | typing.SupportsIndex,
        tuple_size: typing.SupportsInt | typing.SupportsIndex,
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]: ...
    @staticmethod
    def inclusion_probabilities(
        sizes: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        wanted: typing.SupportsInt | typing.SupportsIndex,
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]: ...
    @staticmethod
    def weighted_products(
        a: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        weights: typing.Any,
        b: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]: ...

class density:
    class Chart:
        @typing.overload
        def __init__(
            self,
            base: str,
            loc: typing.SupportsFloat | typing.SupportsIndex,
            scale: typing.SupportsFloat | typing.SupportsIndex,
            logarithmic: bool,
        ) -> None: ...
        @typing.overload
        def __init__(
            self,
            loc: typing.SupportsFloat | typing.SupportsIndex,
            scale: typing.SupportsFloat | typing.SupportsIndex,
            logarithmic: bool,
            spill: typing.SupportsFloat | typing.SupportsIndex,
            first: typing.SupportsFloat | typing.SupportsIndex,
            last: typing.SupportsFloat | typing.SupportsIndex,
            knots: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        ) -> None: ...

    class Model:
        def amplitude(
            self, t: typing.Annotated[numpy.typing.ArrayLike, numpy.float64]
        ) -> tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64]]: ...
        def bins(
            self,
            lo: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
            hi: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
            workers: typing.SupportsInt | typing.SupportsIndex,
        ) -> numpy.typing.NDArray[numpy.float64]: ...
        def locate(
            self, t: typing.Annotated[numpy.typing.ArrayLike, numpy.float64]
        ) -> numpy.typing.NDArray[numpy.float64]: ...
        def mass(
            self,
            y: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
            upper: bool,
            logarithm: bool,
            workers: typing.SupportsInt | typing.SupportsIndex,
        ) -> numpy.typing.NDArray[numpy.float64]: ...
        def pdf(
            self,
            y: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
            logarithm: bool,
            workers: typing.SupportsInt | typing.SupportsIndex,
        ) -> numpy.typing.NDArray[numpy.float64]: ...
        def positions(
            self, y: typing.Annotated[numpy.typing.ArrayLike, numpy.float64]
        ) -> tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64]]: ...
        def quantile(
            self,
            q: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
            upper: bool,
            workers: typing.SupportsInt | typing.SupportsIndex,
        ) -> numpy.typing.NDArray[numpy.float64]: ...
        def sample(
            self,
            key: tuple[
                typing.SupportsInt | typing.SupportsIndex, typing.SupportsInt | typing.SupportsIndex
            ],
            size: typing.SupportsInt | typing.SupportsIndex,
            workers: typing.SupportsInt | typing.SupportsIndex,
        ) -> numpy.typing.NDArray[numpy.float64]: ...
        @property
        def order(self) -> int: ...

    @staticmethod
    def compress(
        chart: Chart,
        y: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        w: typing.Annotated[numpy.typing.ArrayLike, numpy.float64] | None,
        moments: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> float: ...
    @staticmethod
    def condense(
        t: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        w: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        cells: typing.SupportsInt | typing.SupportsIndex,
    ) -> tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64]]: ...
    @staticmethod
    def condensed_cells(order: typing.SupportsInt | typing.SupportsIndex) -> int: ...
    @staticmethod
    def fit(
        t: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        w: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        moments: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        order: typing.SupportsInt | typing.SupportsIndex,
        start: typing.Annotated[numpy.typing.ArrayLike, numpy.complex128],
        tol: typing.SupportsFloat | typing.SupportsIndex,
        smoothness: typing.SupportsFloat | typing.SupportsIndex,
        max_iter: typing.SupportsInt | typing.SupportsIndex,
        certify: bool,
    ) -> tuple[numpy.typing.NDArray[numpy.complex128], float, float, int, bool]: ...
    @staticmethod
    def fit_cells(order: typing.SupportsInt | typing.SupportsIndex, certify: bool) -> int: ...
    @staticmethod
    def is_minimum_phase(b: typing.Annotated[numpy.typing.ArrayLike, numpy.complex128]) -> bool: ...
    @staticmethod
    def log_likelihood(
        t: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        w: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        moments: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        b: typing.Annotated[numpy.typing.ArrayLike, numpy.complex128],
    ) -> float: ...
    @staticmethod
    def model(
        chart: Chart, b: typing.Annotated[numpy.typing.ArrayLike, numpy.complex128]
    ) -> Model: ...
    @staticmethod
    def positions(
        chart: Chart,
        y: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        w: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
    ) -> tuple[numpy.typing.NDArray[numpy.float64], float]: ...
    MOMENTS: int

class elementary:
    @staticmethod
    def cospi(
        x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    ) -> numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]: ...
    @staticmethod
    def exp(
        x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    ) -> numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]: ...
    @staticmethod
    def expm1(
        x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    ) -> numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]: ...
    @staticmethod
    def log(
        x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    ) -> numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]: ...
    @staticmethod
    def log1p(
        x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    ) -> numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]: ...
    @staticmethod
    def sinpi(
        x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None = None,
    ) -> numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]: ...

class emo:
    @staticmethod
    def demd(
        p: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        tau: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        embeddings: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        values: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> tuple[str, int]: ...
    @staticmethod
    def embedding_cost(
        embeddings: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        cost: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> tuple[str, int]: ...
    @staticmethod
    def emo_loss(
        logits: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        labels: typing.Annotated[numpy.typing.ArrayLike, numpy.int64] | None,
        soft: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None,
        embeddings: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        mixture: typing.SupportsInt | typing.SupportsIndex,
        sum_tolerance: typing.SupportsFloat | typing.SupportsIndex,
        weight: typing.SupportsFloat | typing.SupportsIndex,
        values: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        gradient: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None,
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> tuple[str, int]: ...

class lattice:
    class Sweep:
        @property
        def alpha(self) -> float: ...

    class Dag:
        def __init__(
            self,
            indptr: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
            targets: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
            scores: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
            order: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
        ) -> None: ...
        def best_path(self) -> tuple[typing.Any, ...]: ...
        def count_paths(self) -> bytes: ...
        def cut_vertices(self) -> numpy.typing.NDArray[numpy.int64]: ...
        @property
        def cycle(self) -> list[int]: ...
        @property
        def n_edges(self) -> int: ...
        @property
        def n_nodes(self) -> int: ...
        @property
        def stuck(self) -> int: ...

    class BestPaths:
        def next(self) -> typing.Any: ...

    class Normalizer:
        pass

    class Unigram:
        def __init__(
            self,
            pieces: collections.abc.Sequence[bytes],
            scores: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
            types: typing.Annotated[numpy.typing.ArrayLike, numpy.uint8],
            space_mark: bool = False,
            unicode: bool = False,
            unknown_score: typing.SupportsFloat | typing.SupportsIndex = ...,
        ) -> None: ...
        def best_counts(
            self,
            text: typing.Annotated[numpy.typing.ArrayLike, numpy.uint8],
            begin: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
            multiplicity: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
            workers: typing.SupportsInt | typing.SupportsIndex = 0,
        ) -> tuple[typing.Any, ...]: ...
        def expected_counts(
            self,
            text: typing.Annotated[numpy.typing.ArrayLike, numpy.uint8],
            begin: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
            multiplicity: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
            alpha: typing.SupportsFloat | typing.SupportsIndex = 1.0,
            workers: typing.SupportsInt | typing.SupportsIndex = 0,
        ) -> tuple[typing.Any, ...]: ...
        @property
        def byte_fallback(self) -> bool: ...
        @property
        def longest(self) -> int: ...
        @property
        def n_pieces(self) -> int: ...
        @property
        def unknown_piece(self) -> int: ...
        @property
        def unknown_score(self) -> float: ...

    class Tokenizer:
        def decode(
            self,
            ids: typing.Annotated[numpy.typing.ArrayLike, numpy.int32],
            offsets: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
            errors: str | None,
        ) -> list[typing.Any]: ...
        def edges(self, text: typing.Any) -> tuple[typing.Any, ...]: ...
        def encode(
            self,
            texts: tuple[typing.Any, ...],
            workers: typing.SupportsInt | typing.SupportsIndex = 0,
        ) -> tuple[typing.Any, ...]: ...
        def encode_with_bounds(self, text: typing.Any) -> tuple[typing.Any, ...]: ...
        def forget(self) -> None: ...
        def largest_score(self) -> float: ...
        def log_partition(
            self, text: typing.Any, alpha: typing.SupportsFloat | typing.SupportsIndex
        ) -> tuple[typing.Any, ...]: ...
        def nbest(
            self,
            texts: tuple[typing.Any, ...],
            k: typing.SupportsInt | typing.SupportsIndex,
            workers: typing.SupportsInt | typing.SupportsIndex = 0,
        ) -> tuple[typing.Any, ...]: ...
        def sample(
            self,
            texts: tuple[typing.Any, ...],
            alpha: typing.SupportsFloat | typing.SupportsIndex,
            size: typing.SupportsInt | typing.SupportsIndex,
            key: tuple[
                typing.SupportsInt | typing.SupportsIndex, typing.SupportsInt | typing.SupportsIndex
            ],
            first_index: typing.SupportsInt | typing.SupportsIndex,
            method: typing.SupportsInt | typing.SupportsIndex,
            workers: typing.SupportsInt | typing.SupportsIndex = 0,
        ) -> tuple[typing.Any, ...]: ...
        def sample_without_replacement(
            self,
            text: typing.Any,
            size: typing.SupportsInt | typing.SupportsIndex,
            alpha: typing.SupportsFloat | typing.SupportsIndex,
            key: tuple[
                typing.SupportsInt | typing.SupportsIndex, typing.SupportsInt | typing.SupportsIndex
            ],
        ) -> tuple[typing.Any, ...]: ...

    class ModelFile:
        add_dummy_prefix: bool
        bos_piece: bytes
        byte_fallback: bool
        charsmap: bytes
        eos_piece: bytes
        escape_whitespaces: bool
        pad_piece: bytes
        remove_extra_whitespaces: bool
        rule_name: bytes
        unk_piece: bytes
        unk_surface: bytes
        whitespace_as_suffix: bool

        def __init__(self) -> None: ...
        @property
        def bos_id(self) -> int: ...
        @bos_id.setter
        def bos_id(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
        @property
        def eos_id(self) -> int: ...
        @eos_id.setter
        def eos_id(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
        @property
        def model_type(self) -> int: ...
        @model_type.setter
        def model_type(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
        @property
        def pad_id(self) -> int: ...
        @pad_id.setter
        def pad_id(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
        @property
        def pieces(self) -> list[typing.Any]: ...
        @pieces.setter
        def pieces(self, arg1: collections.abc.Sequence[bytes]) -> None: ...
        @property
        def scores(self) -> list[float]: ...
        @scores.setter
        def scores(
            self, arg0: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex]
        ) -> None: ...
        @property
        def types(self) -> list[int]: ...
        @types.setter
        def types(
            self, arg0: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]
        ) -> None: ...
        @property
        def unk_id(self) -> int: ...
        @unk_id.setter
        def unk_id(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...

    class UnicodeForms:
        pass

    class NormalizerStep:
        pass

    class AddedToken:
        def __init__(
            self, text: bytes, left: bool, right: bool, normalized: bool, special: bool
        ) -> None: ...

    class NormalizerChain(Normalizer):
        def normalize(self, text: bytes, trace: bool) -> tuple[typing.Any, ...]: ...

    class Chunks:
        def __len__(self) -> int: ...
        def characters(self) -> tuple[typing.Any, ...]: ...
        @property
        def begin(self) -> numpy.typing.NDArray[numpy.int64]: ...
        @property
        def counts(self) -> numpy.typing.NDArray[numpy.float64]: ...
        @property
        def n_bytes(self) -> int: ...
        @property
        def strings(self) -> list[typing.Any]: ...

    class ChunkRules:
        join_spaces: bool
        lines: bool
        split_by_number: bool
        split_by_script: bool
        split_by_whitespace: bool
        split_digits: bool
        whitespace_as_suffix: bool

        def __init__(self) -> None: ...
        def set_script(
            self, arg0: typing.Annotated[numpy.typing.ArrayLike, numpy.uint8]
        ) -> None: ...
        def set_symbols(self, arg0: bytes) -> None: ...
        @property
        def beyond(self) -> int: ...
        @beyond.setter
        def beyond(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...

    class ChunkCounter:
        @property
        def n_bytes(self) -> float: ...
        @property
        def n_texts(self) -> float: ...
        @property
        def threshold(self) -> float: ...

    class SeedRules:
        whitespace_as_suffix: bool
        whitespace_only: bool

        def __init__(self) -> None: ...
        @property
        def longest(self) -> int: ...
        @longest.setter
        def longest(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
        @property
        def min_count(self) -> float: ...
        @min_count.setter
        def min_count(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
        @property
        def size(self) -> int: ...
        @size.setter
        def size(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...

    class ByteNgrams:
        def __len__(self) -> int: ...
        def log_probability(self, ngram: bytes) -> float: ...

    @staticmethod
    def best_counts(
        model: Unigram, chunks: Chunks, workers: typing.SupportsInt | typing.SupportsIndex = 0
    ) -> tuple[typing.Any, ...]: ...
    @staticmethod
    def best_paths(dag: Dag) -> BestPaths: ...
    @staticmethod
    def build_charsmap(rules: collections.abc.Sequence[tuple[bytes, bytes]]) -> bytes: ...
    @staticmethod
    def byte_ngrams(
        chunks: Chunks,
        order: typing.SupportsInt | typing.SupportsIndex,
        min_count: typing.SupportsFloat | typing.SupportsIndex,
    ) -> ByteNgrams: ...
    @staticmethod
    def chunk_counter(
        rules: ChunkRules,
        max_bytes: typing.SupportsInt | typing.SupportsIndex,
        key: tuple[
            typing.SupportsInt | typing.SupportsIndex, typing.SupportsInt | typing.SupportsIndex
        ],
    ) -> ChunkCounter: ...
    @staticmethod
    def count_texts(
        counter: ChunkCounter, normalizer: NormalizerChain, texts: collections.abc.Sequence[bytes]
    ) -> None: ...
    @staticmethod
    def counted_chunks(counter: ChunkCounter) -> Chunks: ...
    @staticmethod
    def differentiate_marginals(
        dag: Dag, sweep: Sweep, direction: typing.Annotated[numpy.typing.ArrayLike, numpy.float64]
    ) -> numpy.typing.NDArray[numpy.float64]: ...
    @staticmethod
    def edge_marginals(
        dag: Dag, sweep: Sweep, n_edges: typing.SupportsInt | typing.SupportsIndex
    ) -> numpy.typing.NDArray[numpy.float64]: ...
    @staticmethod
    def entropy(dag: Dag, sweep: Sweep) -> float: ...
    @staticmethod
    def expected_counts(
        model: Unigram, chunks: Chunks, workers: typing.SupportsInt | typing.SupportsIndex = 0
    ) -> tuple[typing.Any, ...]: ...
    @staticmethod
    def join_chunks(first: Chunks, second: Chunks) -> Chunks: ...
    @staticmethod
    def kbest_states(
        model: tuple[typing.Any, ...],
        k: typing.SupportsInt | typing.SupportsIndex,
        workers: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> tuple[typing.Any, ...]: ...
    @staticmethod
    def keep_characters(
        chunks: Chunks, kept: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]
    ) -> Chunks: ...
    @staticmethod
    def largest_modulus(scores: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]) -> float: ...
    @staticmethod
    def log_alternatives(
        model: Unigram, workers: typing.SupportsInt | typing.SupportsIndex = 0
    ) -> numpy.typing.NDArray[numpy.float64]: ...
    @staticmethod
    def log_partition(sweep: Sweep) -> float: ...
    @staticmethod
    def log_probabilities(
        dag: Dag,
        sweep: Sweep,
        edges: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
        offsets: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
    ) -> tuple[typing.Any, ...]: ...
    @staticmethod
    def moments(
        dag: Dag, sweep: Sweep, values: typing.Annotated[numpy.typing.ArrayLike, numpy.float64]
    ) -> tuple[typing.Any, ...]: ...
    @staticmethod
    def node_marginals(
        dag: Dag, sweep: Sweep, n_nodes: typing.SupportsInt | typing.SupportsIndex
    ) -> numpy.typing.NDArray[numpy.float64]: ...
    @staticmethod
    def normalizer_chain(
        steps: collections.abc.Sequence[NormalizerStep],
        escape: bool,
        drops: typing.SupportsInt | typing.SupportsIndex,
        protect: collections.abc.Sequence[bytes],
        added: collections.abc.Sequence[AddedToken],
    ) -> NormalizerChain: ...
    @staticmethod
    def normalizer_step(
        kind: typing.SupportsInt | typing.SupportsIndex,
        rules: bytes,
        text: bytes,
        forms: UnicodeForms | None,
        form: typing.SupportsInt | typing.SupportsIndex,
        left: bool,
        right: bool,
        add_dummy_prefix: bool,
        remove_extra_whitespaces: bool,
        whitespace_as_suffix: bool,
        prefix: typing.SupportsInt | typing.SupportsIndex,
        words: bool,
    ) -> NormalizerStep: ...
    @staticmethod
    def read_model(data: bytes) -> ModelFile: ...
    @staticmethod
    def sample(
        dag: Dag,
        sweep: Sweep,
        size: typing.SupportsInt | typing.SupportsIndex,
        key: tuple[
            typing.SupportsInt | typing.SupportsIndex, typing.SupportsInt | typing.SupportsIndex
        ],
        workers: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> tuple[typing.Any, ...]: ...
    @staticmethod
    def sample_states(
        model: tuple[typing.Any, ...],
        size: typing.SupportsInt | typing.SupportsIndex,
        key: tuple[
            typing.SupportsInt | typing.SupportsIndex, typing.SupportsInt | typing.SupportsIndex
        ],
        workers: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> numpy.typing.NDArray[numpy.int64]: ...
    @staticmethod
    def sample_without_replacement(
        dag: Dag,
        sweep: Sweep,
        size: typing.SupportsInt | typing.SupportsIndex,
        key: tuple[
            typing.SupportsInt | typing.SupportsIndex, typing.SupportsInt | typing.SupportsIndex
        ],
    ) -> tuple[typing.Any, ...]: ...
    @staticmethod
    def seed_pieces(
        chunks: Chunks, rules: SeedRules, workers: typing.SupportsInt | typing.SupportsIndex = 0
    ) -> Chunks: ...
    @staticmethod
    def segment_by_ngrams(
        ngrams: ByteNgrams,
        chunks: Chunks,
        unicode: bool,
        workers: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> Chunks: ...
    @staticmethod
    def select_chunks(
        chunks: Chunks,
        numbers: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
        counts: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
    ) -> Chunks: ...
    @staticmethod
    def sums(
        model: tuple[typing.Any, ...],
        messages: bool,
        marginals: bool,
        transitions: bool,
        workers: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> tuple[typing.Any, ...]: ...
    @staticmethod
    def sweep_backward(dag: Dag, alpha: typing.SupportsFloat | typing.SupportsIndex) -> Sweep: ...
    @staticmethod
    def tokenizer(model: Unigram, normalizer: Normalizer) -> Tokenizer: ...
    @staticmethod
    def unicode_forms(
        canonical: tuple[
            collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
            collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
            collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
        ],
        compatible: tuple[
            collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
            collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
            collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
        ],
        mark: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
        mark_class: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
        pair: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
        composed: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
    ) -> UnicodeForms: ...
    @staticmethod
    def unigram_of(
        pieces: Chunks, scores: typing.Annotated[numpy.typing.ArrayLike, numpy.float64]
    ) -> Unigram: ...
    @staticmethod
    def viterbi(
        model: tuple[typing.Any, ...], workers: typing.SupportsInt | typing.SupportsIndex = 0
    ) -> tuple[typing.Any, ...]: ...
    @staticmethod
    def viterbi_semi_markov(
        segment_scores: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        transitions: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
    ) -> typing.Any: ...
    @staticmethod
    def write_model(file: ModelFile) -> bytes: ...

class lowrank:
    class Strips:
        def max_component(self, workers: typing.SupportsInt | typing.SupportsIndex) -> float: ...
        def scale(
            self,
            factor: typing.SupportsFloat | typing.SupportsIndex,
            workers: typing.SupportsInt | typing.SupportsIndex,
        ) -> None: ...
        def to_array(
            self, workers: typing.SupportsInt | typing.SupportsIndex
        ) -> numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]: ...

    @staticmethod
    def adaptive_columns(
        v: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        key: tuple[
            typing.SupportsInt | typing.SupportsIndex, typing.SupportsInt | typing.SupportsIndex
        ],
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> numpy.typing.NDArray[numpy.int64]: ...
    @staticmethod
    def cholesky_steps(
        columns: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        candidates: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
        uniforms: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        rank: typing.SupportsInt | typing.SupportsIndex,
        f: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        diagonal: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> numpy.typing.NDArray[numpy.int64]: ...
    @staticmethod
    def coefficients_of_rows(
        rows: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        r: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        kept: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
        a: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None,
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> tuple[typing.Any, ...]: ...
    @staticmethod
    def elimination_order(
        r: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        pivots: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
        gram: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        count: typing.SupportsInt | typing.SupportsIndex,
        workers: typing.SupportsInt | typing.SupportsIndex,
        with_rows: bool = False,
    ) -> tuple[typing.Any, ...]: ...
    @staticmethod
    def elimination_pivots(
        v: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> numpy.typing.NDArray[numpy.int64]: ...
    @staticmethod
    def exchange(
        z: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        indices: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
        bound: typing.SupportsFloat | typing.SupportsIndex,
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> tuple[typing.Any, ...]: ...
    @staticmethod
    def factor_columns(
        a: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        scale: typing.SupportsFloat | typing.SupportsIndex,
        first: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
        max_rank: typing.SupportsInt | typing.SupportsIndex,
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> tuple[typing.Any, ...]: ...
    @staticmethod
    def gather_columns(
        a: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        indices: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]: ...
    @staticmethod
    def gather_rows(
        a: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        indices: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]: ...
    @staticmethod
    def gram(
        r: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        workers: typing.SupportsInt | typing.SupportsIndex,
        narrow: bool = False,
    ) -> numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]: ...
    @staticmethod
    def interpolation_coefficients(
        r: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        indices: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
        dropped: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]: ...
    @staticmethod
    def inverse_root(
        gram: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        least: typing.SupportsFloat | typing.SupportsIndex,
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> typing.Any: ...
    @staticmethod
    def largest_eigenvalue(g: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]) -> float: ...
    @staticmethod
    def leading_below(
        gram: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        limit: typing.SupportsFloat | typing.SupportsIndex,
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> int: ...
    @staticmethod
    def matmul(
        a: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        b: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        conjugate_a: bool,
        alpha: typing.SupportsFloat | typing.SupportsIndex,
        add_to: typing.Any,
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]: ...
    @staticmethod
    def max_component(
        a: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> float: ...
    @staticmethod
    def max_modulus(
        a: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> float: ...
    @staticmethod
    def orthogonalize(
        v: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        indices: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
        r11: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> bool: ...
    @staticmethod
    def orthogonalize_rows(
        x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    ) -> numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]: ...
    @staticmethod
    def osinsky_columns(
        v: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        e: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        penalty: typing.SupportsFloat | typing.SupportsIndex,
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> tuple[typing.Any, ...]: ...
    @staticmethod
    def pack(
        a: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> Strips: ...
    @staticmethod
    def pivoted_qr(
        strips: Strips,
        first: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
        max_rank: typing.SupportsInt | typing.SupportsIndex,
        stop: typing.SupportsFloat | typing.SupportsIndex,
        slack: typing.SupportsFloat | typing.SupportsIndex,
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> tuple[typing.Any, ...]: ...
    @staticmethod
    def prescribed_qr(
        strips: Strips,
        pivots: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> tuple[typing.Any, ...]: ...
    @staticmethod
    def rayleigh(gram: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]) -> float: ...
    @staticmethod
    def residual_rows(
        rows: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        chosen: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        z: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> tuple[typing.Any, ...]: ...
    @staticmethod
    def rounded(strips: Strips, workers: typing.SupportsInt | typing.SupportsIndex) -> Strips: ...
    @staticmethod
    def rounded_product(
        q: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        b: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]: ...
    @staticmethod
    def sketch(
        a: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        n_rows: typing.SupportsInt | typing.SupportsIndex,
        n_probes: typing.SupportsInt | typing.SupportsIndex,
        key: tuple[
            typing.SupportsInt | typing.SupportsIndex, typing.SupportsInt | typing.SupportsIndex
        ],
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> tuple[typing.Any, ...]: ...
    @staticmethod
    def sketch_csr(
        indptr: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        indices: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        data: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        n_cols: typing.SupportsInt | typing.SupportsIndex,
        n_rows: typing.SupportsInt | typing.SupportsIndex,
        n_probes: typing.SupportsInt | typing.SupportsIndex,
        key: tuple[
            typing.SupportsInt | typing.SupportsIndex, typing.SupportsInt | typing.SupportsIndex
        ],
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> tuple[typing.Any, ...]: ...
    @staticmethod
    def total_residual_columns(
        r: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        count: typing.SupportsInt | typing.SupportsIndex,
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> numpy.typing.NDArray[numpy.int64]: ...
    @staticmethod
    def whiten(
        c: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        scale: typing.SupportsFloat | typing.SupportsIndex,
        r11: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]: ...
    @staticmethod
    def without(
        values: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
        positions: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
    ) -> numpy.typing.NDArray[numpy.int64]: ...

class projections:
    @staticmethod
    def birkhoff(
        x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        n: typing.SupportsInt | typing.SupportsIndex,
        tol: typing.SupportsFloat | typing.SupportsIndex,
        max_iter: typing.SupportsInt | typing.SupportsIndex,
        certify: bool,
        p: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        potentials: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        report: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> None: ...
    @staticmethod
    def box_simplex(
        x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        weights: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None,
        lower: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None,
        upper: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None,
        lowest: typing.SupportsFloat | typing.SupportsIndex,
        highest: typing.SupportsFloat | typing.SupportsIndex,
        radius: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        lowest_sum: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> None: ...
    @staticmethod
    def isotonic(
        x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        weights: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None,
        increasing: bool,
        out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> None: ...
    @staticmethod
    def l1_ball(
        x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        radius: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> None: ...
    @staticmethod
    def l1inf_ball(
        x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        m: typing.SupportsInt | typing.SupportsIndex,
        radius: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> None: ...
    @staticmethod
    def least_squares(
        matrix: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        vector: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        radius: typing.SupportsFloat | typing.SupportsIndex,
        tol: typing.SupportsFloat | typing.SupportsIndex,
        max_iter: typing.SupportsInt | typing.SupportsIndex,
        p: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> tuple[typing.Any, ...]: ...
    @staticmethod
    def permutahedron(
        x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        w: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> None: ...
    @staticmethod
    def quadratic(
        matrix: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        vector: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        radius: typing.SupportsFloat | typing.SupportsIndex,
        tol: typing.SupportsFloat | typing.SupportsIndex,
        max_iter: typing.SupportsInt | typing.SupportsIndex,
        p: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> tuple[typing.Any, ...]: ...
    @staticmethod
    def soft_rank(
        x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        strength: typing.SupportsFloat | typing.SupportsIndex,
        regularization: str,
        descending: bool,
        out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> None: ...
    @staticmethod
    def soft_rank_vjp(
        x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        g: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        strength: typing.SupportsFloat | typing.SupportsIndex,
        regularization: str,
        descending: bool,
        out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> None: ...
    @staticmethod
    def soft_sort(
        x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        strength: typing.SupportsFloat | typing.SupportsIndex,
        regularization: str,
        descending: bool,
        out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> None: ...
    @staticmethod
    def soft_sort_vjp(
        x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        g: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        strength: typing.SupportsFloat | typing.SupportsIndex,
        regularization: str,
        descending: bool,
        out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> None: ...
    @staticmethod
    def sparse_simplex(
        x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        k: typing.SupportsInt | typing.SupportsIndex,
        highest: typing.SupportsFloat | typing.SupportsIndex,
        radius: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> None: ...

class random:
    @staticmethod
    def fill_normal(
        lo: typing.SupportsInt | typing.SupportsIndex,
        hi: typing.SupportsInt | typing.SupportsIndex,
        first: typing.SupportsInt | typing.SupportsIndex,
        out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        workers: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> None: ...
    @staticmethod
    def fill_signs(
        lo: typing.SupportsInt | typing.SupportsIndex,
        hi: typing.SupportsInt | typing.SupportsIndex,
        first: typing.SupportsInt | typing.SupportsIndex,
        out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        workers: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> None: ...
    @staticmethod
    def fill_uniform(
        lo: typing.SupportsInt | typing.SupportsIndex,
        hi: typing.SupportsInt | typing.SupportsIndex,
        first: typing.SupportsInt | typing.SupportsIndex,
        out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        workers: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> None: ...
    @staticmethod
    def philox(
        lo: typing.SupportsInt | typing.SupportsIndex,
        hi: typing.SupportsInt | typing.SupportsIndex,
        block: typing.SupportsInt | typing.SupportsIndex,
    ) -> tuple[int, int, int, int]: ...
    @staticmethod
    def subkey(
        lo: typing.SupportsInt | typing.SupportsIndex,
        hi: typing.SupportsInt | typing.SupportsIndex,
        i: typing.SupportsInt | typing.SupportsIndex,
    ) -> tuple[int, int]: ...
    @staticmethod
    def uniform(
        lo: typing.SupportsInt | typing.SupportsIndex,
        hi: typing.SupportsInt | typing.SupportsIndex,
        index: typing.SupportsInt | typing.SupportsIndex,
    ) -> float: ...
    @staticmethod
    def uniform_below(
        lo: typing.SupportsInt | typing.SupportsIndex,
        hi: typing.SupportsInt | typing.SupportsIndex,
        index: typing.SupportsInt | typing.SupportsIndex,
        n: typing.SupportsInt | typing.SupportsIndex,
    ) -> int: ...

class simplex:
    @staticmethod
    def entmax(
        x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        alpha: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        temperature: typing.SupportsFloat | typing.SupportsIndex,
        nan: bool,
        tau: typing.Any,
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> int: ...
    @staticmethod
    def entmax_alpha_vjp(
        p: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        g: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        alpha: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        out: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> None: ...
    @staticmethod
    def entmax_vjp(
        p: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        g: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        alpha: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        temperature: typing.SupportsFloat | typing.SupportsIndex,
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> None: ...
    @staticmethod
    def fenchel_young(
        x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        ids: typing.Annotated[numpy.typing.ArrayLike, numpy.int64] | None,
        dense: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None,
        indptr: typing.Annotated[numpy.typing.ArrayLike, numpy.int64] | None,
        indices: typing.Annotated[numpy.typing.ArrayLike, numpy.int64] | None,
        data: typing.Annotated[numpy.typing.ArrayLike, numpy.float64] | None,
        alpha: typing.SupportsFloat | typing.SupportsIndex,
        k: typing.SupportsInt | typing.SupportsIndex,
        margin: typing.SupportsFloat | typing.SupportsIndex,
        temperature: typing.SupportsFloat | typing.SupportsIndex,
        weight: typing.SupportsFloat | typing.SupportsIndex,
        values: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        gradient: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None,
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> None: ...
    @staticmethod
    def log_softmax(
        x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        temperature: typing.SupportsFloat | typing.SupportsIndex,
        nan: bool,
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> int: ...
    @staticmethod
    def logsumexp(
        x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        lse: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        temperature: typing.SupportsFloat | typing.SupportsIndex,
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> int: ...
    @staticmethod
    def multilabel(
        x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        labels: typing.Annotated[numpy.typing.ArrayLike, numpy.uint8],
        gamma: typing.SupportsFloat | typing.SupportsIndex,
        margin: typing.SupportsFloat | typing.SupportsIndex,
        threshold_class: bool,
        weight: typing.SupportsFloat | typing.SupportsIndex,
        values: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        gradient: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]] | None,
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> None: ...
    @staticmethod
    def normmax(
        x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        alpha: typing.SupportsFloat | typing.SupportsIndex,
        out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        temperature: typing.SupportsFloat | typing.SupportsIndex,
        nan: bool,
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> int: ...
    @staticmethod
    def perturbmax(
        x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        noise: typing.SupportsInt | typing.SupportsIndex,
        n_nodes: typing.SupportsInt | typing.SupportsIndex,
        out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        temperature: typing.SupportsFloat | typing.SupportsIndex,
        nan: bool,
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> int: ...
    @staticmethod
    def project_rows(
        x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        radius: typing.SupportsFloat | typing.SupportsIndex,
        out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        scale: typing.SupportsFloat | typing.SupportsIndex = 1.0,
        nan: bool = False,
        tau: typing.Any = None,
        workers: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> int: ...
    @staticmethod
    def soft_topk(
        x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        k: typing.SupportsFloat | typing.SupportsIndex,
        kind: typing.SupportsInt | typing.SupportsIndex,
        out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        temperature: typing.SupportsFloat | typing.SupportsIndex,
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> None: ...
    @staticmethod
    def soft_topk_vjp(
        p: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        g: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        k: typing.SupportsFloat | typing.SupportsIndex,
        kind: typing.SupportsInt | typing.SupportsIndex,
        out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        temperature: typing.SupportsFloat | typing.SupportsIndex,
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> None: ...
    @staticmethod
    def softmax(
        x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        temperature: typing.SupportsFloat | typing.SupportsIndex,
        nan: bool,
        lse: typing.Any,
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> int: ...
    @staticmethod
    def taylor_softmax(
        x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        order: typing.SupportsInt | typing.SupportsIndex,
        out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        temperature: typing.SupportsFloat | typing.SupportsIndex,
        nan: bool,
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> int: ...
    @staticmethod
    def taylor_softmax_vjp(
        x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        g: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        order: typing.SupportsInt | typing.SupportsIndex,
        out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        temperature: typing.SupportsFloat | typing.SupportsIndex,
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> None: ...
    @staticmethod
    def topk_softmax(
        x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        k: typing.SupportsInt | typing.SupportsIndex,
        out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        temperature: typing.SupportsFloat | typing.SupportsIndex,
        nan: bool,
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> int: ...
    @staticmethod
    def topp_softmax(
        x: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        p: typing.SupportsFloat | typing.SupportsIndex,
        out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        temperature: typing.SupportsFloat | typing.SupportsIndex,
        nan: bool,
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> int: ...

class testing:
    @staticmethod
    def busy_region(
        n_chunks: typing.SupportsInt | typing.SupportsIndex,
        seconds_per_chunk: typing.SupportsFloat | typing.SupportsIndex,
        workers: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> tuple[typing.Any, ...]: ...

class transport:
    class Costs:
        @typing.overload
        def __init__(
            self, matrix: typing.Annotated[numpy.typing.ArrayLike, numpy.float64]
        ) -> None: ...
        @typing.overload
        def __init__(
            self,
            x: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
            y: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
            kind: typing.SupportsInt | typing.SupportsIndex,
        ) -> None: ...
        def invalid(self, workers: typing.SupportsInt | typing.SupportsIndex) -> bool: ...

    class Kernel:
        @property
        def nbytes(self) -> int: ...

    class Factors:
        def __init__(
            self,
            reg: typing.SupportsFloat | typing.SupportsIndex,
            single: bool,
            base_f: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
            base_g: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
            left: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
            right: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
            kernel: typing.Any,
        ) -> None: ...

    @staticmethod
    def assign(
        cost: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        start: typing.Any,
        workers: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> dict[str, typing.Any]: ...
    @staticmethod
    def barycenter(
        costs: Costs,
        masses: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        weights: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        debiased: bool,
        reg: typing.SupportsFloat | typing.SupportsIndex,
        tol: typing.SupportsFloat | typing.SupportsIndex,
        max_passes: typing.SupportsInt | typing.SupportsIndex,
        single: bool,
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> dict[str, typing.Any]: ...
    @staticmethod
    def batch_plans(
        costs: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        reg: typing.SupportsFloat | typing.SupportsIndex,
        base_f: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        base_g: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        left: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        right: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> numpy.typing.NDArray[numpy.float64]: ...
    @staticmethod
    def column_transform(
        cost: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        f: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        workers: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> numpy.typing.NDArray[numpy.float64]: ...
    @staticmethod
    def cost_range(
        cost: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        workers: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> tuple[typing.Any, ...]: ...
    @staticmethod
    def emd(
        cost: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        a: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        b: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        tolerance: typing.SupportsFloat | typing.SupportsIndex,
        scale: typing.SupportsFloat | typing.SupportsIndex,
        negligible: typing.SupportsFloat | typing.SupportsIndex,
        max_pivots: typing.SupportsInt | typing.SupportsIndex,
        start: typing.Any,
        workers: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> dict[str, typing.Any]: ...
    @staticmethod
    def line_costs(
        x: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        a: typing.Any,
        y: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        b: typing.Any,
        p: typing.SupportsFloat | typing.SupportsIndex,
        workers: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> numpy.typing.NDArray[numpy.float64]: ...
    @staticmethod
    def line_plan(
        x: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        a: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        y: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        b: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        p: typing.SupportsFloat | typing.SupportsIndex,
    ) -> tuple[typing.Any, ...]: ...
    @staticmethod
    def plan_apply(
        costs: Costs,
        factors: Factors,
        v: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        transpose: bool,
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> numpy.typing.NDArray[numpy.float64]: ...
    @staticmethod
    def plan_bracket(
        costs: Costs,
        factors: Factors,
        a: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        b: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> tuple[float, float]: ...
    @staticmethod
    def plan_entries(
        costs: Costs, factors: Factors, workers: typing.SupportsInt | typing.SupportsIndex
    ) -> numpy.typing.NDArray[numpy.float64]: ...
    @staticmethod
    def plan_point_gradient(
        costs: Costs, factors: Factors, workers: typing.SupportsInt | typing.SupportsIndex
    ) -> numpy.typing.NDArray[numpy.float64]: ...
    @staticmethod
    def round_plan(
        plan: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        a: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        b: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        out: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        workers: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> None: ...
    @staticmethod
    def row_transform(
        cost: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        g: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        workers: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> numpy.typing.NDArray[numpy.float64]: ...
    @staticmethod
    def sinkhorn(
        costs: Costs,
        a: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        b: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        reg: typing.SupportsFloat | typing.SupportsIndex,
        rho_rows: typing.SupportsFloat | typing.SupportsIndex,
        rho_cols: typing.SupportsFloat | typing.SupportsIndex,
        tol: typing.SupportsFloat | typing.SupportsIndex,
        max_passes: typing.SupportsInt | typing.SupportsIndex,
        single: bool,
        stored_bytes: typing.SupportsInt | typing.SupportsIndex,
        largest_cost: typing.SupportsFloat | typing.SupportsIndex,
        init: tuple[
            typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
            typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        ]
        | None,
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> dict[str, typing.Any]: ...
    @staticmethod
    def sinkhorn_batch(
        costs: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        a: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        b: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        reg: typing.SupportsFloat | typing.SupportsIndex,
        tol: typing.SupportsFloat | typing.SupportsIndex,
        max_passes: typing.SupportsInt | typing.SupportsIndex,
        workers: typing.SupportsInt | typing.SupportsIndex,
    ) -> dict[str, typing.Any]: ...
    @staticmethod
    def weighted_sum(
        x: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        y: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
    ) -> tuple[typing.Any, ...]: ...
