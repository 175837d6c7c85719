#define LAV_VECTOR_BYTES 16
#include "layeravatar/avatar/kernels/decoder_steps.h"

namespace layeravatar::avatar {

extern const DecoderKernels kDecoderKernelsBase;
const DecoderKernels kDecoderKernelsBase = {split_input, split_taps, split_heads, conv_forward, branch_forward, statistics, heads_forward, heads_backward, normalisation_backward, conv_input_gradient,
                                           conv_weight_gradient};

}  // namespace layeravatar::avatar
