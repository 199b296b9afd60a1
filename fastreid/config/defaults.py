"""Every key with its default, meaning, unit and options.

An upper-case comment names the reader of a group. "Iteration" is one optimizer step, "epoch" is
``len(train set) // IMS_PER_BATCH`` iterations.
"""

from __future__ import annotations

from .config import CfgNode as CN
from .defaults_input import INPUT

__all__: list[str] = []

_C = CN()

# Seed of everything random in a run: weights, order, augmentation. -1 draws one and logs it.
_C.SEED = -1
# Your own code: files (relative to the config that names them) or modules, imported before anything is built.
_C.CUSTOM_IMPORTS = []
# Where a run writes; see the README for the files.
_C.OUTPUT_DIR = "logs/"
# Iterations between two progress lines of the training loop, >= 1.
_C.LOG_PERIOD = 200
# Let cuDNN time its algorithms and take the fastest: faster for one image size, not bit-reproducible.
_C.CUDNN_BENCHMARK = False
# With a model on a CPU, keep the memory of freed tensors for the next batch: faster; the process holds its highest use.
_C.KEEP_FREED_MEMORY = False

# ---------------------------------------------------------------------------- model (modeling/)
_C.MODEL = CN()
# auto (CUDA, else MPS, else CPU) | cuda | cuda:N | mps | cpu. An explicit device that is missing is an error.
_C.MODEL.DEVICE = "auto"
# Keep images and feature maps in memory pixel by pixel, not channel by channel: same numbers, faster convolutions on
# most CPUs and on CUDA in half precision.
_C.MODEL.CHANNELS_LAST = False
# Compile the parts of the model (backbone, head ...) with torch.compile for training, not for evaluation: faster steps
# after minutes of compiling; equal results up to rounding. Needs a C++ compiler (CPU) or Triton (CUDA).
_C.MODEL.COMPILE = False
# Every batch norm of the whole model takes its statistics over the batches of all processes, as BACKBONE.NORM and
# HEADS.NORM syncBN do for their parts; GhostBN and FrozenBN stay what they are.
_C.MODEL.SYNC_BN = False
# A name of META_ARCH_REGISTRY.
_C.MODEL.META_ARCHITECTURE = "Baseline"
# Top-level parts of the model (whole names, regular expressions) that stand still for SOLVER.FREEZE_ITERS.
_C.MODEL.FREEZE_LAYERS = []
# Images in the memory of MoCo; a multiple of SOLVER.IMS_PER_BATCH.
_C.MODEL.QUEUE_SIZE = 8192
# Checkpoint to start from or to evaluate: path or URL, of torch.save or safetensors (docs/weights.md).
_C.MODEL.WEIGHTS = ""
# True: weights that do not fit are an error that lists every key. False: a warning.
_C.MODEL.WEIGHTS_STRICT = True
# Which weights of that checkpoint: model | ema | swa, the averages of SOLVER.EMA and SOLVER.SWA. Resuming takes model.
_C.MODEL.WEIGHTS_KEY = "model"
# Mean and standard deviation of the RGB channels, in 0..255. []: those that the backbone's published weights expect.
_C.MODEL.PIXEL_MEAN = [123.675, 116.28, 103.53]
_C.MODEL.PIXEL_STD = [58.395, 57.12, 57.375]

_C.MODEL.BACKBONE = CN()
# A name of BACKBONE_REGISTRY.
_C.MODEL.BACKBONE.NAME = "build_resnet_backbone"
# Which of the family, e.g. 18x | 34x | 50x | 101x for ResNet, convnext_tiny.fb_in22k for build_timm_backbone.
_C.MODEL.BACKBONE.DEPTH = "50x"
# Stride of the last stage, 1 or 2; 1 doubles the feature map.
_C.MODEL.BACKBONE.LAST_STRIDE = 1
# Channels that the backbone gives to the head (times height and width of the map for POOL_LAYER Flatten); a wrong
# number is an error that names the right one.
_C.MODEL.BACKBONE.FEAT_DIM = 2048
# BN | syncBN | GhostBN | FrozenBN | GN
_C.MODEL.BACKBONE.NORM = "BN"
# Instance-batch normalisation, squeeze-and-excitation, non-local blocks.
_C.MODEL.BACKBONE.WITH_IBN = False
_C.MODEL.BACKBONE.WITH_SE = False
_C.MODEL.BACKBONE.WITH_NL = False
# Start each block of a ResNet or ResNeXt as its shortcut alone (Goyal et al. 2017, arXiv:1706.02677), from which a
# deep network without ImageNet weights begins to learn sooner. Weights that are loaded replace it.
_C.MODEL.BACKBONE.ZERO_INIT_RESIDUAL = False
# Start from ImageNet weights: downloaded, or read from PRETRAIN_PATH when that is not empty.
_C.MODEL.BACKBONE.PRETRAIN = False
_C.MODEL.BACKBONE.PRETRAIN_PATH = ""
# build_timm_backbone only: further arguments of timm.create_model, e.g. always_partition: True.
_C.MODEL.BACKBONE.TIMM_ARGS = CN(new_allowed=True)
# What a transformer returns: class token | map of its patches | tokens for JigsawPatchHead; auto: what it was made for.
_C.MODEL.BACKBONE.OUTPUT = "auto"
# Vision transformers only. Side information: each camera has an embedding, times SIE_COE. SIE_CAMERAS: their names in
# training, <dataset_name>_<number>; empty: those of the training set. SIE_HIDE_RATE: share of training images in [0, 1)
# that train the embedding for cameras never seen; 0: the mean of all stands for those.
_C.MODEL.BACKBONE.WITH_SIE = False
_C.MODEL.BACKBONE.SIE_CAMERAS = []
_C.MODEL.BACKBONE.SIE_COE = 3.0
_C.MODEL.BACKBONE.SIE_HIDE_RATE = 0.1
# Three convolutions at half resolution before the patches (the ICS of TransReID-SSL, arXiv:2111.12084).
_C.MODEL.BACKBONE.CONV_STEM = False
# Patch stride in pixels, down and across; rates in [0, 1): of skipped blocks, dropped activations, dropped attention.
_C.MODEL.BACKBONE.STRIDE_SIZE = (16, 16)
_C.MODEL.BACKBONE.DROP_PATH_RATIO = 0.1
_C.MODEL.BACKBONE.DROP_RATIO = 0.0
_C.MODEL.BACKBONE.ATT_DROP_RATE = 0.0

_C.MODEL.HEADS = CN()
# A name of REID_HEADS_REGISTRY.
_C.MODEL.HEADS.NAME = "EmbeddingHead"
_C.MODEL.HEADS.NORM = "BN"
# Classes of the classifier; 0: taken from the training set, or none (a model that only embeds).
_C.MODEL.HEADS.NUM_CLASSES = 0
# Width of a fully connected layer, batch norm and ReLU behind the pooling, as torchreid's networks have it; 0: none.
_C.MODEL.HEADS.FC_DIM = 0
# Width of a 1x1 convolution before the neck; 0: none, the embedding has FEAT_DIM numbers.
_C.MODEL.HEADS.EMBEDDING_DIM = 0
# Batch normalisation between the pooled feature and the classifier (BNNeck).
_C.MODEL.HEADS.WITH_BNNECK = False
# Metric losses read the feature before | after the neck. Evaluation reads it after, always.
_C.MODEL.HEADS.NECK_FEAT = "before"
# Identity | Flatten | GlobalAvgPool | GlobalMaxPool | GeneralizedMeanPooling | GeneralizedMeanPoolingP |
# FastGlobalAvgPool | AdaptiveAvgMaxPool | ClipGlobalAvgPool
_C.MODEL.HEADS.POOL_LAYER = "GlobalAvgPool"
# Linear | ArcSoftmax | CosSoftmax | CircleSoftmax; margin in the layer's unit, scale of the logits.
_C.MODEL.HEADS.CLS_LAYER = "Linear"
_C.MODEL.HEADS.MARGIN = 0.0
_C.MODEL.HEADS.SCALE = 1
# JigsawPatchHead: parts of the patches, each seen alone; patches moved to the end before; groups they are dealt from.
_C.MODEL.HEADS.JIGSAW = CN()
_C.MODEL.HEADS.JIGSAW.PARTS = 4
_C.MODEL.HEADS.JIGSAW.SHIFT = 4
_C.MODEL.HEADS.JIGSAW.GROUPS = 2

# Losses (modeling/losses/); each has a node with its weight SCALE in the total.
_C.MODEL.LOSSES = CN()
# Names of LOSS_REGISTRY.
_C.MODEL.LOSSES.NAME = ("CrossEntropyLoss",)
# The losses over pairs (TripletLoss, CircleLoss, Cosface) compare each image with those of all processes, not only with
# those of its own; the gradient is then that of one process on the whole batch.
_C.MODEL.LOSSES.CROSS_RANK = False
# Cross-entropy. EPSILON: label smoothing in [0, 1), or -1: adaptive, ALPHA times the predicted probability.
_C.MODEL.LOSSES.CE = CN()
_C.MODEL.LOSSES.CE.EPSILON = 0.0
_C.MODEL.LOSSES.CE.ALPHA = 0.2
_C.MODEL.LOSSES.CE.SCALE = 1.0
# Focal loss (Lin et al., ICCV 2017, arXiv:1708.02002). ALPHA: factor, >= 0; GAMMA: weighs easy images down, >= 0.
_C.MODEL.LOSSES.FL = CN()
_C.MODEL.LOSSES.FL.ALPHA = 0.25
_C.MODEL.LOSSES.FL.GAMMA = 2.0
_C.MODEL.LOSSES.FL.SCALE = 1.0
# Triplet loss (Hermans et al., arXiv:1703.07737). MARGIN in distance; 0 selects the soft-margin form.
_C.MODEL.LOSSES.TRI = CN()
_C.MODEL.LOSSES.TRI.MARGIN = 0.3
# True: 2 - 2 cos of the features; False: Euclidean distance of the features as they are.
_C.MODEL.LOSSES.TRI.NORM_FEAT = False
# True: hardest positive and negative; False: their softmax-weighted means.
_C.MODEL.LOSSES.TRI.HARD_MINING = False
_C.MODEL.LOSSES.TRI.SCALE = 1.0
# Circle loss over pairs (Sun et al., CVPR 2020, arXiv:2002.10857). MARGIN in cosine, GAMMA scales the logits.
_C.MODEL.LOSSES.CIRCLE = CN()
_C.MODEL.LOSSES.CIRCLE.MARGIN = 0.25
_C.MODEL.LOSSES.CIRCLE.GAMMA = 128
_C.MODEL.LOSSES.CIRCLE.SCALE = 1.0
# CosFace over pairs (Wang et al., CVPR 2018, arXiv:1801.09414). MARGIN in cosine, GAMMA scales the logits.
_C.MODEL.LOSSES.COSFACE = CN()
_C.MODEL.LOSSES.COSFACE.MARGIN = 0.25
_C.MODEL.LOSSES.COSFACE.GAMMA = 128
_C.MODEL.LOSSES.COSFACE.SCALE = 1.0

# Knowledge distillation (modeling/meta_arch/distiller.py). Config and weights of each teacher: paths, a shipped config
# also by its name; the same number of both.
_C.KD = CN()
_C.KD.MODEL_CONFIG = []
_C.KD.MODEL_WEIGHTS = []
# What the student learns from inside the teachers: a name of FEATURE_DISTILLATION_REGISTRY, such as Overhaul; empty:
# nothing, their class logits are all.
_C.KD.FEATURE_LOSS = ""
# A moving average of the student as a further teacher. MOMENTUM: share of the old average at each iteration, [0, 1).
_C.KD.EMA = CN({"ENABLED": False})
_C.KD.EMA.MOMENTUM = 0.999

# ---------------------------------------------------------------------------- images (data/transforms/)
_C.INPUT = INPUT  # defaults_input.py

# ---------------------------------------------------------------------------- data (data/)
_C.DATASETS = CN()
# Folder of all datasets; empty: $FASTREID_DATASETS, else ./datasets. Read when used.
_C.DATASETS.ROOT = ""
# Names of DATASET_REGISTRY, or one's own images as csv:path | folder:path | market:path (docs/data.md); trained on
# together, tested one by one.
_C.DATASETS.NAMES = ("Market1501",)
_C.DATASETS.TESTS = ("Market1501",)
# Arguments of the class of a data set, e.g. CUHK03: {cuhk03_labeled: False}; datasets/README.md names them.
_C.DATASETS.OPTIONS = CN(new_allowed=True)
# What tools/pack_dataset.py made, files and folders, relative to the current folder or to the root. A data set that one
# of them holds is read from there, with the same items, labels and order as from its files (docs/data.md).
_C.DATASETS.STORAGE = ()
# Train on query and gallery too.
_C.DATASETS.COMBINEALL = False
# Shares of several NAMES in a training batch; empty: one pool of all items. equal | proportional (to n, the training
# images of a set) | tempered (to n ** SHARES_POWER, in [0, 1]).
_C.DATASETS.SHARES = ""
_C.DATASETS.SHARES_POWER = 0.5

_C.DATALOADER = CN()
# A name of SAMPLER_REGISTRY: TrainingSampler | NaiveIdentitySampler | BalancedIdentitySampler |
# CameraAwareIdentitySampler | SetReWeightSampler | ImbalancedDatasetSampler | ...
_C.DATALOADER.SAMPLER_TRAIN = "TrainingSampler"
# Images of each identity in a batch, for the identity samplers.
_C.DATALOADER.NUM_INSTANCE = 4
# Processes that load training images; 0: the training process does it itself.
_C.DATALOADER.NUM_WORKERS = 8
# Batches that each of these processes makes ahead, >= 1; more even out images that take long to read, and take memory.
_C.DATALOADER.PREFETCH_FACTOR = 2
# Keep decoded training images (resized ones, if the resize comes first): ram | a folder on a fast disk; empty: no. They
# take at most CACHE_GB (GiB, > 0) per training process, which its workers share; the rest is read from the files.
_C.DATALOADER.CACHE = ""
_C.DATALOADER.CACHE_GB = 4.0
# For SetReWeightSampler: of every sum(SET_WEIGHT) identities of a batch, how many come from each set (camid, sorted).
_C.DATALOADER.SET_WEIGHT = []

# ---------------------------------------------------------------------------- training (solver/, engine/)
_C.SOLVER = CN()
# Mixed precision. DTYPE: auto (float16 on CUDA, bfloat16 on CPUs that have it, otherwise off) | float16 | bfloat16.
_C.SOLVER.AMP = CN({"ENABLED": False})
_C.SOLVER.AMP.DTYPE = "auto"
# The name of any optimizer of torch.optim, or Lamb; OPT_ARGS: more arguments of it, e.g. betas: [0.9, 0.95].
_C.SOLVER.OPT = "Adam"
_C.SOLVER.OPT_ARGS = CN(new_allowed=True)
# How the optimizer computes: fused (one kernel for an update; few optimizers and devices) | foreach (one kernel for an
# operation on many parameters; more memory) | single (one parameter after another) | auto: as torch chooses, but fused,
# where that can be, in float16 on CUDA, since the other two make the CPU wait there at each iteration.
_C.SOLVER.OPT_IMPL = "auto"
_C.SOLVER.MAX_EPOCH = 120
_C.SOLVER.BASE_LR = 3e-4
# Learning-rate factors of the parameters of the head (of each, where there are several), and of biases.
_C.SOLVER.HEADS_LR_FACTOR = 1.0
_C.SOLVER.BIAS_LR_FACTOR = 1.0
# Layer-wise decay: the rate of each layer of the backbone is this times that of the next one, in (0, 1]; 1: none.
_C.SOLVER.LAYER_DECAY = 1.0
# SGD only.
_C.SOLVER.MOMENTUM = 0.9
_C.SOLVER.NESTEROV = False
# Weight decay of weights, of norm layers' weights, and of biases (these two do not follow WEIGHT_DECAY).
_C.SOLVER.WEIGHT_DECAY = 0.0005
_C.SOLVER.WEIGHT_DECAY_NORM = 0.0005
_C.SOLVER.WEIGHT_DECAY_BIAS = 0.0005
# MultiStepLR (factor GAMMA from each epoch of STEPS on) | CosineAnnealingLR (down to ETA_MIN_LR) | another name of
# torch.optim.lr_scheduler, with its arguments (lengths in epochs) in SCHED_ARGS: ExponentialLR | PolynomialLR | ...
_C.SOLVER.SCHED = "MultiStepLR"
_C.SOLVER.SCHED_ARGS = CN(new_allowed=True)
# Epochs before the schedule may lower the rate.
_C.SOLVER.DELAY_EPOCHS = 0
_C.SOLVER.GAMMA = 0.1
_C.SOLVER.STEPS = [30, 55]
_C.SOLVER.ETA_MIN_LR = 1e-7
# Warm-up from WARMUP_FACTOR * rate over WARMUP_ITERS iterations (0: none). METHOD: linear | exp | constant.
_C.SOLVER.WARMUP_FACTOR = 0.1
_C.SOLVER.WARMUP_ITERS = 1000
_C.SOLVER.WARMUP_METHOD = "linear"
# Iterations during which MODEL.FREEZE_LAYERS stand still.
_C.SOLVER.FREEZE_ITERS = 0
# Epochs between two checkpoints.
_C.SOLVER.CHECKPOINT_PERIOD = 20
# Iterations between two further checkpoints, model_iter_*.pth; 0: none.
_C.SOLVER.CHECKPOINT_PERIOD_ITERS = 0
# Periodic checkpoints of this run that stay, the newest; 0: all. model_best and model_final always stay.
_C.SOLVER.CHECKPOINT_KEEP = 0
# Images of one iteration, over all processes.
_C.SOLVER.IMS_PER_BATCH = 64
# Micro-batches that one iteration's images are split into, >= 1, to need less memory: the gradients are added up before
# the optimizer steps. Samplers, triplet mining and batch norm see a micro-batch, of IMS_PER_BATCH / ACCUM_STEPS images
# over all processes.
_C.SOLVER.ACCUM_STEPS = 1
# Iterations of a run whose loss (or, without a gradient scaler, gradient) is infinite or NaN that are left out, >= 0;
# one more is an error, as the first one is with 0. The weights, batch-norm statistics and optimizer stay as they were,
# iterations and schedules go on. Above 0 each iteration waits for the device once and copies the model's buffers.
_C.SOLVER.SKIP_NONFINITE = 0
# Clip gradients. TYPE: norm (each parameter's NORM_TYPE-norm at most CLIP_VALUE) | full_norm (that of all parameters
# together) | value (numbers within +-CLIP_VALUE).
_C.SOLVER.CLIP_GRADIENTS = CN({"ENABLED": False})
_C.SOLVER.CLIP_GRADIENTS.CLIP_TYPE = "norm"
_C.SOLVER.CLIP_GRADIENTS.CLIP_VALUE = 5.0
_C.SOLVER.CLIP_GRADIENTS.NORM_TYPE = 2.0
# Exponential moving average of the weights and batch-norm statistics, evaluated beside the model as ema/Rank-1 ...
# (docs/training.md). MOMENTUM: share of the old average in each step of the optimizer, [0, 1). WARMUP, >= 1 (1: none):
# it is min(MOMENTUM, (1 + t) / (WARMUP + t)) in step t = 0, 1 ..., so that a short run's average is of its last part.
_C.SOLVER.EMA = CN({"ENABLED": False})
_C.SOLVER.EMA.MOMENTUM = 0.999
_C.SOLVER.EMA.WARMUP = 10.0
# Stochastic weight averaging (Izmailov et al., UAI 2018, arXiv:1803.05407): the mean of the weights at the end of every
# PERIOD-th epoch from START_EPOCH on (0-based; -1: after three quarters of MAX_EPOCH), or of every PERIOD_ITERS-th
# iteration (0: PERIOD says it). Evaluated beside the model as swa/Rank-1 ...
_C.SOLVER.SWA = CN({"ENABLED": False})
_C.SOLVER.SWA.START_EPOCH = -1
_C.SOLVER.SWA.PERIOD = 1
_C.SOLVER.SWA.PERIOD_ITERS = 0
# Learning rate meanwhile, as a factor of each group's base rate, >= 0; 0: the schedule goes on. It is reached over
# ANNEAL_EPOCHS as half a cosine, or, if CYCLIC, falls from there to ETA_MIN_LR between two samples.
_C.SOLVER.SWA.LR_FACTOR = 0.0
_C.SOLVER.SWA.ANNEAL_EPOCHS = 1
_C.SOLVER.SWA.CYCLIC = False
_C.SOLVER.SWA.ETA_MIN_LR = 0.0
# Training batches, an epoch of them at the most, over which the mean's batch-norm statistics are recomputed after the
# last epoch; 0: they stay the mean of the samples'.
_C.SOLVER.SWA.BN_ITERS = 200

# ---------------------------------------------------------------------------- evaluation (evaluation/)
_C.TEST = CN()
# Epochs between two evaluations; 0: only after the last epoch.
_C.TEST.EVAL_PERIOD = 20
# Iterations between two further evaluations; 0: none.
_C.TEST.EVAL_PERIOD_ITERS = 0
# The result, higher is better, that model_best is the best by: metric | mAP | Rank-1 | ... With several test sets that
# of the first one, or <label of the set>/mAP. Of the averages of the weights: ema/mAP | swa/mAP ...
_C.TEST.BEST_METRIC = "metric"
# Images of one batch, over all processes; processes that load them.
_C.TEST.IMS_PER_BATCH = 64
_C.TEST.NUM_WORKERS = 4
# A name of EVALUATOR_REGISTRY.
_C.TEST.EVALUATOR = "ReidEvaluator"
# cosine | euclidean
_C.TEST.METRIC = "cosine"
# market1501: a query is not compared with images of its identity by its own camera | cameraless: with all images |
# auto: market1501 for a test set of which all cameras are known, cameraless for one of which none is |
# cuhk03: as market1501, but CMC in galleries with one drawn image of each identity |
# leave_one_out: each image is looked for among all others; with EVALUATOR RetrievalEvaluator.
_C.TEST.PROTOCOL = "market1501"
# PROTOCOL cuhk03: draws for each query, >= 1, over which CMC is averaged, and their seed, >= 0.
_C.TEST.CUHK03 = CN()
_C.TEST.CUHK03.DRAWS = 10
_C.TEST.CUHK03.SEED = 0
# RetrievalEvaluator: the k of Recall@k, each >= 1, in rising order; the first one is the result "metric".
_C.TEST.RETRIEVAL = CN()
_C.TEST.RETRIEVAL.RECALL = (1, 2, 4, 8)
# [[dataset, metric, expected, tolerance], ...] in percent: a run that ends elsewhere fails.
_C.TEST.EXPECTED_RESULTS = []
# TPR at FPR 1e-4, 1e-3, 1e-2, in percent. With it come, in results.json: AUC, EER, score histograms, open-set
# identification and a recommended threshold (docs/evaluation.md).
_C.TEST.ROC = CN({"ENABLED": False})
# Open-set identification, with TEST.ROC: where every query has a match, this share of the query identities, drawn with
# a fixed seed, is taken out of the gallery, [0, 1); 0: none, and no open-set numbers for such a test set.
_C.TEST.OPEN_SET = CN()
_C.TEST.OPEN_SET.SHARE = 0.2
# The recommended threshold, with TEST.ROC, keeps this false positive rate of pairs (KIND fpr) or this false alarm rate
# of searches for somebody who is not in the gallery (far); VALUE in (0, 1).
_C.TEST.THRESHOLD = CN()
_C.TEST.THRESHOLD.KIND = "fpr"
_C.TEST.THRESHOLD.VALUE = 0.001
# Draws of query identities for the 95 % confidence intervals in results.json, >= 0; 0: no intervals.
_C.TEST.BOOTSTRAP = CN()
_C.TEST.BOOTSTRAP.RESAMPLES = 1000
# Average the embeddings of an image and its mirror image.
_C.TEST.FLIP = CN({"ENABLED": False})
# Mixed precision, in evaluation and prediction. DTYPE as in SOLVER.AMP. Embeddings are float32 all the same.
_C.TEST.AMP = CN({"ENABLED": False})
_C.TEST.AMP.DTYPE = "auto"
# Put batch norms into the convolutions before them, in a copy of the model: same numbers up to rounding, faster.
_C.TEST.FOLD_BN = False
# Working memory that each process may use to judge features, beside these, in units of 1e9 bytes, > 0. Results do not
# depend on it. Too little is an error that says how much is needed (docs/evaluation.md).
_C.TEST.MEMORY_GB = 1.0
# What is done to the features of a test set, in this order, as far as it is switched on; names of POSTPROCESS_REGISTRY.
# Rerank comes last.
_C.TEST.POSTPROCESS = ("CameraNorm", "DBA", "AQE", "Rerank")
# Subtract from the features of each camera their mean and, with VARIANCE, divide by their standard deviation.
_C.TEST.CAMERA_NORM = CN({"ENABLED": False})
_C.TEST.CAMERA_NORM.VARIANCE = True
# Database-side augmentation: average each gallery image with its nearest K, itself included, weighted by
# cos ** ALPHA (>= 0); TIMES (>= 1) rounds.
_C.TEST.DBA = CN({"ENABLED": False})
_C.TEST.DBA.ALPHA = 3.0
_C.TEST.DBA.TIMES = 1
_C.TEST.DBA.K = 5
# Average query expansion: the same with queries and gallery, among all of them; QE_TIME rounds, QE_K neighbours.
_C.TEST.AQE = CN({"ENABLED": False})
_C.TEST.AQE.ALPHA = 3.0
_C.TEST.AQE.QE_TIME = 1
_C.TEST.AQE.QE_K = 5
# k-reciprocal re-ranking (Zhong et al., CVPR 2017, arXiv:1701.08398): K1 + 1 neighbours, the image itself included;
# K2 (>= 1; 1: off) encodings are averaged; LAMBDA in [0, 1] is the weight of the original distance.
_C.TEST.RERANK = CN({"ENABLED": False})
_C.TEST.RERANK.K1 = 20
_C.TEST.RERANK.K2 = 6
_C.TEST.RERANK.LAMBDA = 0.3
# Recompute batch-norm statistics over NUM_ITER training batches of DATASET after the last epoch.
_C.TEST.PRECISE_BN = CN({"ENABLED": False})
_C.TEST.PRECISE_BN.DATASET = "Market1501"
_C.TEST.PRECISE_BN.NUM_ITER = 300
