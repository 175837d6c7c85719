// The arithmetic between the U-Net's layers. No LibTorch: settings name it.
#pragma once
#include <string>

namespace layeravatar::diffusion {

/// What the activations between the layers are made of; in UNetEngine, which samples, what the convolutions multiply. Weights,
/// norms' statistics, attention, the time embedding and the output are float32 either way. bfloat16 is several times as fast where
/// the processor multiplies it (AVX-512 BF16, AMX). The engine rounds with AMX alone; elsewhere it stays in float32.
enum class Precision { kFloat32, kBfloat16 };

/// "fp32", "bf16", or "auto": bfloat16 where this processor multiplies such matrices in hardware (AMX), else float32.
/// Throws Error(kConfig) for any other name.
Precision precision_named(const std::string& name);

}  // namespace layeravatar::diffusion
