// Training scenes of a dataset folder as tensors.
#pragma once
#include <memory>

#include "layeravatar/data/dataset.h"
#include "layeravatar/train/trainer.h"

namespace layeravatar::train {

class DatasetSource : public SceneSource {
 public:
  /// `views` of each scene are drawn for each epoch.
  DatasetSource(std::shared_ptr<const data::Dataset> dataset, int views) : dataset_(std::move(dataset)), views_(views) {}
  [[nodiscard]] std::vector<std::string> names() const override;
  [[nodiscard]] std::vector<io::Attributes> attributes() const override { return dataset_->attributes(); }
  [[nodiscard]] SceneBatch load(std::int64_t scene, std::int64_t epoch, int image_size) override;

 private:
  std::shared_ptr<const data::Dataset> dataset_;
  int views_;
};

/// Given views of a scene at `image_size` pixels (0: the data's own).
SceneBatch load_views(const data::Scene& scene, const std::vector<std::int64_t>& views, int image_size);

}  // namespace layeravatar::train
