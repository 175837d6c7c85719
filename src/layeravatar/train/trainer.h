// A training run in its folder: scenes in, checkpoints, logs and previews out (spec/model.md section 9).
#pragma once
#include <ATen/core/Generator.h>

#include <array>
#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <random>
#include <string>

#include "layeravatar/avatar/pack.h"
#include "layeravatar/avatar/vocabulary.h"
#include "layeravatar/body/body_model.h"
#include "layeravatar/io/attributes.h"
#include "layeravatar/templates/layered_template.h"
#include "layeravatar/train/checkpoint.h"
#include "layeravatar/train/train_step.h"

namespace layeravatar::train {

/// Where scenes come from: the dataset in a real run, pictures made in memory in a test.
class SceneSource {
 public:
  virtual ~SceneSource() = default;
  [[nodiscard]] virtual std::vector<std::string> names() const = 0;
  /// What is known of each scene's person.
  [[nodiscard]] virtual std::vector<io::Attributes> attributes() const { return std::vector<io::Attributes>(names().size()); }
  /// Views of a scene as drawn for the given epoch, at `image_size` pixels (0: the data's own).
  [[nodiscard]] virtual SceneBatch load(std::int64_t scene, std::int64_t epoch, int image_size) = 0;
};

/// Scenes of an iteration: epochs are permutations seeded with seed + epoch; what does not fill a step is dropped or, with several processes, filled with the
/// first ones of the epoch.
struct Draw {
  std::int64_t epoch = 0;
  std::vector<std::int64_t> scenes;
};
Draw draw_scenes(const TrainConfig& config, std::int64_t scene_count, std::int64_t iteration, bool fill = false);

/// Diffusion steps [count] int64 in 0..steps-1 with density proportional to t^(power - 1). What holds for a whole avatar, such
/// as the colour of a garment over all its charts, is decided in the noisy steps: with power 1 few examples teach it.
torch::Tensor draw_timesteps(std::int64_t steps, std::int64_t count, double power, at::Generator generator);

/// The code of a random person or, with the component of each texel (avatar::plane_owner), of a random person for each.
struct DrawnCode {
  torch::Tensor code;
  std::array<std::int64_t, diffusion::MixturePrior::kParts> person{};  // of each part
};
DrawnCode draw_code(const CodeCache& codes, const torch::Tensor& owner, std::mt19937_64& engine);

/// What the U-Net is told of a code whose parts are of people with these conditions: nothing in the share `open` of all cases; else of each part nothing with one chance
/// in two, and if not, with one chance in two each, all its values and one of its words.
diffusion::Condition draw_condition(const std::vector<const diffusion::Condition*>& parts, double open, std::mt19937_64& engine);

struct RunOptions {
  std::filesystem::path folder;
  bool resume = false;
  std::shared_ptr<const avatar::ModelPack> start;    // networks that a new run starts from; codes start anew
  std::function<void(const std::string&)> say;       // one line of the log
  std::function<void(std::int64_t done, std::int64_t of)> progress;  // after each iteration, of rank 0
  const std::atomic<bool>* stop = nullptr;           // set by Ctrl-C
  std::shared_ptr<Ranks> ranks = std::make_shared<Ranks>();  // each has the scenes of its shard; rank 0 writes what is not theirs
};

class Trainer {
 public:
  /// Builds everything from the configuration; with `resume`, continues from the newest whole checkpoint of the folder.
  /// Throws Error(kConfig) when the folder holds another run and `resume` is not given, Error(kInput) when the pack to
  /// start from has another template or networks of other sizes.
  Trainer(TrainConfig config, const body::BodyModel& body, const templates::LayeredTemplate& layers,
          std::shared_ptr<SceneSource> source, RunOptions options);

  /// Trains until config.iterations or until `stop`; the last checkpoint is whole in both cases. Throws Error(kPeer) when another process is lost.
  void run();

  [[nodiscard]] std::int64_t iteration() const { return iteration_; }
  [[nodiscard]] const Learned& learned() const { return learned_; }
  [[nodiscard]] const CodeCache& codes() const { return codes_; }
  [[nodiscard]] std::int64_t scene_count() const { return static_cast<std::int64_t>(source_->names().size()); }
  /// Every scene's, after the activation. All ranks ask for them together.
  [[nodiscard]] std::vector<torch::Tensor> planes() const;
  [[nodiscard]] const Scaffold& scaffold() const { return scaffold_; }
  [[nodiscard]] const TrainConfig& config() const { return config_; }
  /// What the prior knows of people; empty where it is not to know anything.
  [[nodiscard]] const avatar::Vocabulary& vocabulary() const { return vocabulary_; }

  /// One iteration without logging.
  StepLog step(StepTimes& times);
  /// Writes checkpoints/iter_<n>/ and removes all but the newest.
  void save_checkpoint() const;

 private:
  void train();
  /// Writes previews/iter_<n>.png.
  void save_preview() const;
  /// Every code anew, networks frozen, from the prior of all, or at the run's beginning from the pack's. Returns false, codes as before, when stopped.
  bool refit_codes(int steps);
  /// The U-Net's prior, from the planes as they are and what the scenes say of their people.
  void fit_prior();
  void set_vocabulary(avatar::Vocabulary vocabulary);
  /// The U-Net as the prior's denoiser: its last convolution zero, its optimiser new.
  void restart_unet();
  void start_from(const avatar::ModelPack& pack);
  /// Where the codes go that are too many for memory; empty when they are not.
  [[nodiscard]] std::filesystem::path scratch_folder() const;
  void load_checkpoint(const Checkpoint& checkpoint);
  /// What a step that diverged had and left: codes before and after, noise, networks and gradients. Returns the file.
  [[nodiscard]] std::filesystem::path save_diverged(const StepInput& input, const Draw& draw) const;

  TrainConfig config_;
  std::shared_ptr<SceneSource> source_;
  RunOptions options_;
  Shard shard_;  // of all scenes, what codes_ holds
  Scaffold scaffold_;
  Learned learned_;
  CodeCache codes_;
  torch::Tensor owner_;  // component of each texel (avatar::plane_owner)
  std::vector<io::Attributes> people_;          // of all scenes, with a prior that knows attributes
  avatar::Vocabulary vocabulary_;
  std::vector<diffusion::Condition> conditions_;  // all that is known of each of the people
  std::int64_t iteration_ = 0;
};

}  // namespace layeravatar::train
