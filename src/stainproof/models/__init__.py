"""Networks: building blocks, our own network, timm backbones, pretrained weights."""
