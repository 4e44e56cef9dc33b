"""Where the bundled files come from: data sets and pretrained weights, with their licences and citations.

The cards of the bundled traces, their Croissant documents and the data sheet (docs/data.md) take these facts
from here.
"""

from __future__ import annotations

from dataclasses import dataclass

REPOSITORY = "https://github.com/splitee/splitee"
CREATOR = "The splitee developers"
APACHE = "https://spdx.org/licenses/Apache-2.0"  # of the project, and so of what it computed
_GLUE = "none stated (part of GLUE; on the hub: other)"


@dataclass(frozen=True)
class Origin:
    """A data set or pretrained weights.

    Attributes
    ----------
    name : str
        Name in tables.
    citation : str
        Authors, year, title and venue.
    url : str
        Its page.
    licence : str
        The licence or terms, or that none is stated.
    licence_url : str or None
        The licence's page, if it is a public licence for all of it.
    """

    name: str
    citation: str
    url: str
    licence: str
    licence_url: str | None = None


_SST = Origin(
    "SST-2",
    "Socher et al. (2013), Recursive Deep Models for Semantic Compositionality Over a Sentiment Treebank, "
    "EMNLP",
    "https://nlp.stanford.edu/sentiment/",
    _GLUE,
)
DATA_SETS: dict[str, Origin] = {  # by the task of a manifest's `data`
    "sst2": _SST,
    "sst2_sentences": _SST,
    "imdb": Origin(
        "Large Movie Review Dataset v1.0",
        "Maas et al. (2011), Learning Word Vectors for Sentiment Analysis, ACL",
        "https://ai.stanford.edu/~amaas/data/sentiment/",
        "none stated (the authors ask to be cited)",
    ),
    "yelp_sentences": Origin(
        "Yelp sentences",
        "Shen et al. (2017), Style Transfer from Non-Parallel Text by Cross-Alignment, NeurIPS",
        "https://github.com/shentianxiao/language-style-transfer",
        "Yelp's Dataset User Agreement (academic use)",
    ),
    "scitail": Origin(
        "SciTail",
        "Khot et al. (2018), SciTail: A Textual Entailment Dataset from Science Question Answering, AAAI",
        "https://allenai.org/data/scitail",
        "Apache-2.0",
        APACHE,
    ),
    "rte": Origin(
        "RTE",
        "Wang et al. (2019), GLUE: A Multi-Task Benchmark and Analysis Platform for Natural Language "
        "Understanding, ICLR",
        "https://gluebenchmark.com/",
        _GLUE,
    ),
    "qqp": Origin(
        "Quora question pairs",
        "Iyer et al. (2017), First Quora Dataset Release: Question Pairs",
        "https://quoradata.quora.com/First-Quora-Dataset-Release-Question-Pairs",
        "Quora's terms of service (non-commercial use)",
    ),
    "mrpc": Origin(
        "MRPC",
        "Dolan and Brockett (2005), Automatically Constructing a Corpus of Sentential Paraphrases, IWP",
        "https://www.microsoft.com/en-us/download/details.aspx?id=52398",
        "Microsoft Research Shared Source License Agreement",
    ),
    "snli": Origin(
        "SNLI",
        "Bowman et al. (2015), A Large Annotated Corpus for Learning Natural Language Inference, EMNLP",
        "https://nlp.stanford.edu/projects/snli/",
        "CC BY-SA 4.0",
        "https://creativecommons.org/licenses/by-sa/4.0/",
    ),
    "mnli": Origin(
        "MultiNLI",
        "Williams et al. (2018), A Broad-Coverage Challenge Corpus for Sentence Understanding through "
        "Inference, NAACL",
        "https://www.nyu.edu/projects/bowman/multinli/",
        "that of the Open American National Corpus for most; CC BY 3.0, CC BY-SA 3.0 and MIT for parts",
    ),
    "caltech101": Origin(
        "Caltech-101",
        "Fei-Fei, Fergus and Perona (2004), Learning Generative Visual Models from Few Training Examples, "
        "CVPR Workshop on Generative-Model Based Vision",
        "https://data.caltech.edu/records/mzrjq-6wc02",
        "CC BY 4.0",
        "https://creativecommons.org/licenses/by/4.0/",
    ),
}
WEIGHTS: dict[str, Origin] = {  # by the backbone of a manifest's `training`
    "all-mpnet-base-v2": Origin(
        "all-mpnet-base-v2",
        "Reimers and Gurevych (2019), Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks, EMNLP; "
        "Song et al. (2020), MPNet: Masked and Permuted Pre-training for Language Understanding, NeurIPS",
        "https://huggingface.co/sentence-transformers/all-mpnet-base-v2",
        "Apache-2.0",
        APACHE,
    ),
    "all-MiniLM-L6-v2": Origin(
        "all-MiniLM-L6-v2",
        "Reimers and Gurevych (2019), Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks, EMNLP; "
        "Wang et al. (2020), MiniLM: Deep Self-Attention Distillation for Task-Agnostic Compression of "
        "Pre-Trained Transformers, NeurIPS",
        "https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2",
        "Apache-2.0",
        APACHE,
    ),
    "efficientnet-lite0": Origin(
        "EfficientNet-Lite0",
        "Tan and Le (2019), EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, ICML",
        "https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite",
        "Apache-2.0",
        APACHE,
    ),
}
PUBLISHED = {"caltech101": "2026-11-29", "slender": "2026-11-29", "": "2026-11-21"}
"""When bundled traces came into the repository, by the beginning of their names; the first that fits."""


def published(name: str) -> str:
    """Return the date of a bundled trace.

    Examples
    --------
    >>> published("imdb"), published("slender_imdb")
    ('2026-11-21', '2026-11-29')
    """
    return next(date for start, date in PUBLISHED.items() if name.startswith(start))
