// How near fits to a few views of people come to their other views. Without LibTorch in the header.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace layeravatar::train {

struct FitTableOptions {
  std::filesystem::path model, dataset;  // pack; folder of scenes that the pack was not trained on
  std::vector<std::string> views = {"000_001", "100_001", "180_001", "280_001"};  // that are fitted, the first alone for the fit to one view
  std::vector<std::string> unseen = {"060_000", "140_001", "260_002"};
  std::vector<int> counts = {4, 1};      // how many of `views`
  bool labelled = true;                  // with the scenes' labels
  bool baseline = true;                  // optimisation without the prior too
  int guided_steps = 0, steps = 150;     // as FitViewsOptions, here and below
  double guidance = 4, prior_weight = 1e-5, denoiser_weight = 0;
  std::uint64_t seed = 0;
  int stride = 1, first = 0;             // every n-th scene from the first
  std::filesystem::path sheet;           // a picture: of each person and count target, fit, fit without prior, mean in the first unseen view
};

/// One person's PSNR in dB in the box of unseen views, mask and 4 pixels, mean over views.
struct FitRow {
  std::string scene;
  int views = 0;
  double fit = 0, start = 0, input = 0;  // input: of the fitted views themselves; start: of where the optimisation began
  double without_prior = 0, mean_avatar = 0;
};

/// Throws Error(kConfig) for a name that no view has.
std::vector<FitRow> fit_table(const FitTableOptions& options, const std::function<void(const std::string&)>& say);

}  // namespace layeravatar::train
