"""The published data sets: where their files lie, what they hold, where they come from."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Archive:
    """A file as its publisher offers it."""

    url: str
    sha256: str
    size: int  # bytes


@dataclass(frozen=True)
class Source:
    """A published data set in torchvision's folder layout."""

    folder: str
    form: str  # cifar: pickled batches; idx: one file of images and one of labels for each part
    classes: int
    train_files: tuple[str, ...]
    test_files: tuple[str, ...]
    train_count: int
    test_count: int
    archives: tuple[Archive, ...]
    labels: str = ""  # the batches' name for the labels
    also: tuple[str, ...] = ()  # what torchvision wants to find beside the batches


def _idx(folder: str, address: str, *archives: tuple[str, str, int]) -> Source:
    offered = tuple(Archive(f"{address}/{name}-ubyte.gz", sha256, size) for name, sha256, size in archives)
    return Source(folder, "idx", 10, ("train",), ("t10k",), 60_000, 10_000, offered)


SOURCES = {
    "mnist": _idx(
        "MNIST/raw",
        "https://ossci-datasets.s3.amazonaws.com/mnist",
        ("train-images-idx3", "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609", 9_912_422),
        ("train-labels-idx1", "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c", 28_881),
        ("t10k-images-idx3", "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6", 1_648_877),
        ("t10k-labels-idx1", "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6", 4_542),
    ),
    "fashion-mnist": _idx(
        "FashionMNIST/raw",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
        ("train-images-idx3", "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84", 26_421_880),
        ("train-labels-idx1", "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845", 29_515),
        ("t10k-images-idx3", "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073", 4_422_102),
        ("t10k-labels-idx1", "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5", 5_148),
    ),
    "cifar10": Source(
        "cifar-10-batches-py",
        "cifar",
        10,
        tuple(f"data_batch_{k}" for k in range(1, 6)),
        ("test_batch",),
        50_000,
        10_000,
        (
            Archive(
                "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
                "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
                170_498_071,
            ),
        ),
        labels="labels",
        also=("batches.meta",),
    ),
    "cifar100": Source(
        "cifar-100-python",
        "cifar",
        100,
        ("train",),
        ("test",),
        50_000,
        10_000,
        (
            Archive(
                "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
                "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
                169_001_437,
            ),
        ),
        labels="fine_labels",
        also=("meta",),
    ),
}
