// What the command `evaluate` does (docs/evaluation.md). Without LibTorch in the header.
#pragma once
#include <atomic>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "layeravatar/body/pose_params.h"
#include "layeravatar/train/run_training.h"

namespace layeravatar::train {

struct EvaluationFiles {
  TrainingFiles run;                     // settings and, without a model, the run; nothing is trained. No settings: those in the run's folder, or the usual ones
  std::filesystem::path model;           // a pack instead of a run: planes are fitted to the people that are drawn
  std::filesystem::path output;          // folder where finished parts stay and an interrupted evaluation goes on; empty: none
  std::vector<std::string> metrics;      // names of metric_names; empty: all for which everything is there
  std::filesystem::path inception, lpips;  // TorchScript networks
  std::filesystem::path real;            // the release's statistics of real pictures, .pkl; empty: from the dataset's pictures
  std::vector<body::PoseParams> motion;  // of the jitter
  std::string motion_name;
  int fit_steps = 300;                   // of the planes
  std::filesystem::path sheet;           // a picture of reconstructions; empty: none
  int stride = 1;                        // every n-th person
  int samples = 64;                      // generated avatars to compare with the training people; 0: none
  int views = 0;                         // of each person for FID and KID, evenly; 0: all
  int batch = 32;                        // pictures at once through the Inception network
};

struct Evaluation {
  std::vector<std::pair<std::string, double>> numbers;       // by name, in order
  std::vector<std::pair<std::string, std::string>> left_out;  // metrics and what they need
  bool whole = true;                                          // false: stopped
};

/// "psnr", "ssim", ...
std::vector<std::string> metric_names();

/// Throws Error(kConfig) for an unknown metric and Error(kUsage) for one that was asked for and lacks what it needs; otherwise as the parts do.
Evaluation evaluate(const EvaluationFiles& files, const std::function<void(const std::string&)>& say, const std::atomic<bool>* stop = nullptr);

}  // namespace layeravatar::train
