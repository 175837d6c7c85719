// Mean and covariance of Inception features of the training pictures (spec/body_and_data.md section 11.8).
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <vector>

#include "layeravatar/nn/torch_script.h"

namespace layeravatar::prepare {

struct InceptionStatistics {
  torch::Tensor features;    // [n, D] float32
  torch::Tensor mean;        // [D] float64
  torch::Tensor covariance;  // [D, D] float64, divided by n - 1
};

/// Every picture, uint8 [B, 3, H, W] RGB with alpha dropped, through the network, which resizes by itself; `forward` is called with
/// return_features=true where it has such an argument. Throws Error(kInput) for an output that is not [B, D] and for fewer than two
/// pictures.
InceptionStatistics inception_statistics(nn::ScriptNetwork& network, std::span<const std::filesystem::path> pictures, int batch,
                                         const std::function<void(std::size_t done, std::size_t total)>& progress = {});

/// The pictures rgb/*.png of all scenes in `folder`, in the order of the names.
std::vector<std::filesystem::path> training_pictures(const std::filesystem::path& folder);

/// The release's pickle: feats_np, mean (float32), cov (float64), size and the name ".pkl".
void write_statistics_pickle(const std::filesystem::path& file, const InceptionStatistics& statistics);
/// Ours, .npz: mean, covariance (float64), size.
void write_statistics_npz(const std::filesystem::path& file, const InceptionStatistics& statistics);

}  // namespace layeravatar::prepare
