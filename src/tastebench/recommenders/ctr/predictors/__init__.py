"""Predictors: user and item to a logit.

Those that read `fields` take any number of them: two where a user meets an item, as many as there
are columns in a table of categories. `variant: published` is the paper's definition, `reference`
what RecBench ran; the settings say where they differ.
"""

from __future__ import annotations

from tastebench.recommenders.ctr.bricks import Predictor
from tastebench.recommenders.ctr.predictors.settings import (
    AutoIntConfig,
    DcnConfig,
    Dcnv2Config,
    DeepFmConfig,
    DinConfig,
    DnnConfig,
    DotConfig,
    FinalMlpConfig,
    GdcnConfig,
    MaskNetConfig,
    MinerConfig,
    MixtureConfig,
    PnnConfig,
)

_HERE = "tastebench.recommenders.ctr.predictors"

DOT = Predictor(
    name="dot",
    summary="inner product of user and item",
    config=DotConfig,
    network=f"{_HERE}.dot:Dot",
    reads="vector",
)

DNN = Predictor(
    name="dnn",
    summary="a tower over all fields",
    config=DnnConfig,
    network=f"{_HERE}.dnn:Dnn",
    citation="Covington et al., Deep Neural Networks for YouTube Recommendations, RecSys 2016",
)

PNN = Predictor(
    name="pnn",
    summary="a tower over the fields and their inner products",
    config=PnnConfig,
    network=f"{_HERE}.products:Pnn",
    citation="Qu et al., Product-based Neural Networks for User Response Prediction, ICDM 2016",
)

DEEPFM = Predictor(
    name="deepfm",
    summary="a factorisation machine and a tower",
    config=DeepFmConfig,
    network=f"{_HERE}.products:DeepFm",
    citation="Guo et al., DeepFM: A Factorization-Machine based Neural Network for CTR Prediction, "
    "IJCAI 2017",
)

DCN = Predictor(
    name="dcn",
    summary="cross layers with a weight vector each, and a tower",
    config=DcnConfig,
    network=f"{_HERE}.cross:Dcn",
    citation="Wang et al., Deep & Cross Network for Ad Click Predictions, ADKDD 2017",
)

DCNV2 = Predictor(
    name="dcnv2",
    summary="cross layers with a weight matrix each, and a tower",
    config=Dcnv2Config,
    network=f"{_HERE}.cross:Dcnv2",
    citation="Wang et al., DCN V2: Improved Deep & Cross Network and Practical Lessons for "
    "Web-scale Learning to Rank Systems, WWW 2021",
)

MASKNET = Predictor(
    name="masknet",
    summary="blocks that multiply what they read with a mask made of all fields",
    config=MaskNetConfig,
    network=f"{_HERE}.masknet:MaskNet",
    citation="Wang et al., MaskNet: Introducing Feature-Wise Multiplication to CTR Ranking Models "
    "by Instance-Guided Mask, DLP-KDD 2021",
)

FINALMLP = Predictor(
    name="finalmlp",
    summary="two gated towers and their bilinear product",
    config=FinalMlpConfig,
    network=f"{_HERE}.finalmlp:FinalMlp",
    citation="Mao et al., FinalMLP: An Enhanced Two-Stream MLP Model for CTR Prediction, AAAI 2023",
)

AUTOINT = Predictor(
    name="autoint",
    summary="self-attention of the fields to each other, and a tower",
    config=AutoIntConfig,
    network=f"{_HERE}.autoint:AutoInt",
    citation="Song et al., AutoInt: Automatic Feature Interaction Learning via Self-Attentive "
    "Neural Networks, CIKM 2019",
)

GDCN = Predictor(
    name="gdcn",
    summary="cross layers with a gate each, and a tower",
    config=GdcnConfig,
    network=f"{_HERE}.cross:Gdcn",
    citation="Wang et al., Towards Deeper, Lighter and Interpretable Cross Network for CTR "
    "Prediction, CIKM 2023",
)

DIN = Predictor(
    name="din",
    summary="the history weighed by the candidate, and a tower",
    config=DinConfig,
    network=f"{_HERE}.din:Din",
    citation="Zhou et al., Deep Interest Network for Click-Through Rate Prediction, KDD 2018",
    reads="sequence",
    schemes=("ranking",),
)

MINER = Predictor(
    name="miner",
    summary="the candidate against each interest of a user",
    config=MinerConfig,
    network=f"{_HERE}.miner:Miner",
    citation="Li et al., MINER: Multi-Interest Matching Network for News Recommendation, "
    "ACL Findings 2022",
    reads="vectors",
    schemes=("matching",),
)

MIXTURE = Predictor(
    name="mixture",
    summary="one predictor over every pair of a user's and an item's level",
    config=MixtureConfig,
    network=f"{_HERE}.mixture:Mixture",
    citation="Liu et al., Discrete Semantic Tokenization for Deep CTR Prediction, WWW 2024",
    reads="vectors",
    item="vectors",
)
