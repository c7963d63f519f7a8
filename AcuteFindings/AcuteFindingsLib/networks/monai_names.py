"""Which networks of MONAI may be built from what a file says, and from which arguments. Imports nothing."""

TARGETS = frozenset(
    """AHNet AttentionUnet BasicUNet BasicUNetPlusPlus BasicUnet BasicUnetPlusPlus Classifier DenseNet DenseNet121
    DenseNet169 DenseNet201 DenseNet264 DynUNet DynUnet EfficientNetBN FlexibleUNet MedNeXt ResNet SENet SENet154
    SEResNet50 SEResNet101 SEResNet152 SEResNext50 SEResNext101 SegResNet SegResNetDS SwinUNETR UNETR UNet Unet VNet
    ViT""".split()  # noqa: SIM905
)
"""Networks of MONAI that are built from plain values alone."""

ARGUMENTS = frozenset(
    """act act_name act_type adn_ordering adv_prop attn_drop_rate backbone bias bias_downsample block block_config
    block_inplanes blocks_bottleneck blocks_down blocks_up bn_size bottleneck_expansion_ratio channels classes
    classification conv1_t_size conv1_t_stride conv_block decoder_bias decoder_channels decoder_expansion_ratio
    deep_supervision deep_supr_num depths downsample_kernel_size dropout dropout_dim dropout_path_rate dropout_prob
    dropout_prob_down dropout_prob_up dropout_rate drop_rate dsdepth encoder_expansion_ratio feature_size features
    feed_forward filters global_resp_norm groups growth_rate hidden_size img_size in_channels in_shape init_features
    init_filters inplanes input_3x3 interp_mode is_pad kernel_size last_act layers mlp_dim mlp_ratio model_name
    n_input_channels no_max_pool norm norm_name norm_type normalize num_channels num_classes num_groups num_heads
    num_layers num_res_units out_channels patch_norm patch_size pos_embed_type post_activation pre_conv proj_type
    psp_block_num qkv_bias reduction res_block resolution save_attn shortcut_type spatial_dims strides trans_bias
    up_kernel_size upsample upsample_kernel_size upsample_mode use_conv_final use_residual_connection use_v2
    widen_factor window_size""".split()  # noqa: SIM905
)
"""Their arguments that may be given; no weights, files or addresses among them."""
